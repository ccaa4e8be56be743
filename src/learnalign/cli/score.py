"""``learnalign score``: rank a run's problems again."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo_json


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@o.options(*o.SELECTION)
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any option of selection.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(run: Path, sets: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Rank the problems of RUN again with another budget, method or target, in seconds."""
    resolved = o.run_config(run, sets, flags)
    from learnalign.cli.output import print_selection
    from learnalign.runs.folder import RunFolder
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.select import score

    folder = RunFolder.existing(run, needs="verdicts")
    with folder.locked():
        done = score(folder, resolved, Progress("none" if as_json else "auto"))
    if as_json:
        echo_json({"out": str(run), **done.summary})
    else:
        print_selection(done)
