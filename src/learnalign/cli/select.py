"""``learnalign select``: the whole pipeline, from data to report."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@o.options(
    *o.SELECTION, *o.ROLLOUTS, *o.PROMPT, *o.DATA, *o.GRADIENTS, *o.MODEL, *o.CLUSTER, *o.RUN
)
@o.config_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options and estimate the work.")
@click.option(
    "--redo",
    metavar="STAGE",
    help="Recompute a table and all later ones; for the warm-up: warmup or warmup/checkpoint.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Choose the K problems of DATA ranked highest for MODEL.

    MODEL is a model folder or hub name; DATA is one or more files, folders, hub names or
    reasoning-gym:NAME?size=100&seed=1 specs. Run the same command to resume an interrupted run.

    \b
      learnalign select models/my-model train.jsonl --budget 1000 --out runs/x
      learnalign select my/model owner/name --budget 0.1 --dry-run
    """  # noqa: D301
    resolved = o.config_from(
        config, sets, flags, model__path=model or None, data__paths=data or None
    )
    if dry_run:
        from learnalign.workflows.estimate import dry_run as plan

        echo(plan(resolved, as_json=as_json))
        return
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.select import run

    done = run(resolved, progress=Progress("none" if as_json else "auto"), redo=redo)
    if as_json:
        echo_json({"out": str(done.path), **done.summary})
        return
    from learnalign.cli.output import print_selection

    print_selection(done)
