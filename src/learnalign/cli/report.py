"""``learnalign report``: write a run's report anew."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo


@click.command()
@click.argument("run", type=o.PLACE)
def command(run: Path) -> None:
    """Write RUN/report.html from the tables there are."""
    resolved = o.run_config(run)
    from learnalign.runs.folder import scored
    from learnalign.workflows.select import report

    echo(report(scored(run), resolved))
