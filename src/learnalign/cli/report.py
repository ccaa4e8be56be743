"""``learnalign report``: regenerate a run's report."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
def command(run: Path) -> None:
    """Regenerate RUN/report.html from the run's tables."""
    resolved = o.run_config(run)
    from learnalign.runs.folder import scored
    from learnalign.workflows.select import report

    echo(report(scored(run), resolved))
