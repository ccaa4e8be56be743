"""``learnalign rollout``: sample and verify, nothing else."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@o.options(*o.ROLLOUTS, *o.PROMPT, *o.DATA, *o.MODEL, *o.CLUSTER, *o.RUN)
@o.config_options
@click.option("--redo", metavar="STAGE", help="Recompute a table and all later ones.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Sample MODEL's rollouts on DATA and verify them, into a run folder.

    Continue with `learnalign gradients` and `learnalign score`.
    """
    resolved = o.config_from(
        config, sets, flags, model__path=model or None, data__paths=data or None
    )
    from learnalign.pipeline.order import stages_through
    from learnalign.pipeline.run_stages import run_stages
    from learnalign.pipeline.stages import reward_stats
    from learnalign.runs.folder import RunFolder
    from learnalign.terminal.progress import Progress

    folder = RunFolder(resolved.run.out)
    with folder.locked():
        progress = Progress("none" if as_json else "auto")
        run_stages(
            folder, resolved, stages_through("verdicts", resolved), progress=progress, redo=redo
        )
        table = reward_stats(folder)
    rates = [rate for rate in table["success_rate"].to_pylist() if rate is not None]
    counts = {
        "out": str(folder.path),
        "problems": len(rates),
        "excluded": folder.excluded().num_rows,
        "mean_success_rate": sum(rates) / max(1, len(rates)),
        "between_0_and_1": sum(0 < rate < 1 for rate in rates),
    }
    if as_json:
        echo_json(counts)
    else:
        echo("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in counts.items()))
        echo(f"next: learnalign gradients {folder.path}")
