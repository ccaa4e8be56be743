"""``learnalign gradients``: compute the policy gradients of a run that has rollouts."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@o.options(*o.GRADIENTS, "model.device", *o.CLUSTER)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any option.")
@click.option("--redo", metavar="STAGE", help="Recompute a table and all later ones.")
def command(run: Path, sets: tuple[str, ...], redo: str | None, **flags: Any) -> None:
    """Compute the policy gradient of each problem of RUN that has signal."""
    resolved = o.run_config(run, sets, flags)
    from learnalign.pipeline.order import stages_through
    from learnalign.pipeline.run_stages import run_stages
    from learnalign.runs.folder import RunFolder
    from learnalign.terminal.commands import command_line
    from learnalign.terminal.progress import Progress

    folder = RunFolder.existing(run, needs="verdicts")
    with folder.locked():
        run_stages(
            folder, resolved, stages_through("gradients", resolved), progress=Progress(), redo=redo
        )
    echo(f"next: {command_line('score', run, '--budget', 'K')}")
