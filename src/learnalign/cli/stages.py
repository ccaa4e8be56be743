"""``learnalign stages``: select and train, in several stages."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@o.options("stages.count", "selection.budget", "stages.easy_share", "stages.reuse_steps")
@o.options("selection.method", "selection.warmup", *o.TRAINING, *o.SAMPLING)
@o.options("rollouts.spend", "rollouts.engine", *o.PROMPT, *o.DATA)
@o.options(*o.OBJECTIVE, "gradients.sketch_size", *o.MODEL, *o.RUN)
@o.config_options
@click.option(
    "--redo",
    metavar="STAGE",
    help="Redo a stage and all later ones (stage-2), or a table of one of its runs "
    "(stage-2/training/history).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the stages as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train MODEL on DATA in stages; each selects again with the policy trained so far.

    Run the same command to resume, even in the middle of a stage. A chart in the output folder,
    stages.html, shows how the selection changes.

    \b
      learnalign stages my/model train.jsonl --stages 3 --budget 500 --out runs/staged
    """  # noqa: D301
    overrides = {"run__out": "runs/stages"} | {k: v for k, v in flags.items() if v is not None}
    resolved = o.config_from(
        config, sets, overrides, model__path=model or None, data__paths=data or None
    )
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.staged import run_staged

    done = run_staged(resolved, progress=Progress("none" if as_json else "auto"), redo=redo)
    if as_json:
        echo_json([asdict(stage) for stage in done])
        return
    from learnalign.cli.output import print_stages

    print_stages(done, resolved.run.out)
