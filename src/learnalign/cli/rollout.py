"""``learnalign rollout``: sample and verify, nothing else."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json
from learnalign.errors import LearnAlignError
from learnalign.terminal.commands import command_line


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@o.options(*o.ROLLOUTS, *o.PROMPT, *o.DATA, *o.MODEL, *o.CLUSTER, *o.RUN)
@click.option(
    "--import",
    "imports",
    nargs=2,
    multiple=True,
    metavar="FORMAT PATH",
    help="Rollouts that exist already, in a format that is named instead of recognised: verl, trl, "
    "open-instruct, prime-rl, counts ... (docs/concepts/rollouts.md lists them all).",
)
@o.config_options
@click.option("--redo", metavar="STAGE", help="Recompute a table and all later ones.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    imports: tuple[tuple[str, str], ...],
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Sample MODEL's rollouts on DATA and verify them, into a run folder.

    Continue with `learnalign gradients` and `learnalign score`. Rollouts that a trainer left behind
    are not sampled again: --recorded recognises their format, --import names it.

    \b
      learnalign rollout my/model train.jsonl --out runs/x
      learnalign rollout my/model train.jsonl --recorded dumps/rollout_data --out runs/x
      learnalign rollout my/model train.jsonl --import verl dumps/rollout_data --out runs/x
    """  # noqa: D301
    flags |= _imported(imports, flags)
    resolved = o.config_from(
        config, sets, flags, model__path=model or None, data__paths=data or None
    )
    from learnalign.pipeline import adaptive
    from learnalign.pipeline.imported import problems_without_tokens, served_methods
    from learnalign.pipeline.order import stages_through
    from learnalign.pipeline.run_stages import run_stages
    from learnalign.pipeline.stages import reward_stats
    from learnalign.rollouts.imports.told import warnings
    from learnalign.runs.folder import RunFolder
    from learnalign.terminal.progress import Progress

    folder = RunFolder(resolved.run.out)
    with folder.locked():
        progress = Progress("none" if as_json else "auto")
        run_stages(
            folder, resolved, stages_through("verdicts", resolved), progress=progress, redo=redo
        )
        table = reward_stats(folder)
        messages = warnings(adaptive.counts(folder))
        has_tokens = problems_without_tokens(folder) == 0
    rates = [rate for rate in table["success_rate"].to_pylist() if rate is not None]
    counts = {
        "out": str(folder.path),
        "problems": len(rates),
        "excluded": folder.excluded().num_rows,
        "mean_success_rate": sum(rates) / max(1, len(rates)),
        "between_0_and_1": sum(0 < rate < 1 for rate in rates),
    }
    if as_json:
        echo_json(counts | {"warnings": messages, "serves": served_methods(tokens=has_tokens)})
        return
    echo("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in counts.items()))
    for message in messages:
        echo(f"warning: {message}")
    if resolved.rollouts.recorded:
        served = "all methods" if has_tokens else ", ".join(served_methods(tokens=False))
        echo(f"serves: {served}")
    if has_tokens:
        echo(f"next: {command_line('gradients', folder.path)}")
    else:
        score = ("score", folder.path, "--method", "learnability", "--budget", "K")
        echo(f"next: {command_line(*score)}")


def _imported(imports: tuple[tuple[str, str], ...], flags: dict[str, Any]) -> dict[str, Any]:
    """Return the options that --import sets: the files, and their format."""
    if not imports:
        return {}
    formats = list(dict.fromkeys(name for name, _ in imports))
    if flags.get("rollouts__recorded") or len(formats) > 1:
        others = "--recorded" if len(formats) == 1 else f"--import {formats[1]}"
        raise LearnAlignError(
            f"got --import {formats[0]} and {others}",
            expected="rollouts of one named format",
            do="let all of them be recognised: --recorded PATH --recorded PATH",
        )
    paths = tuple(path for _, path in imports)
    return {"rollouts__recorded": paths, "rollouts__recorded_format": formats[0]}
