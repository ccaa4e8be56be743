"""``learnalign report``: write a run's report anew."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.saying import say


@click.command()
@click.argument("run", type=o.PLACE)
def command(run: Path) -> None:
    """Write RUN/report.html from the tables there are."""
    resolved = o.run_config(run)
    from learnalign.runs.folder import scored
    from learnalign.runs.pipeline import report

    say(report(scored(run), resolved))
