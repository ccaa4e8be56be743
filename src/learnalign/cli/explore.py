"""``learnalign explore``: a page to look into a pool."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("runs", nargs=-1, required=True, type=o.PATH_OR_URL)
@click.option("--out", "-o", type=o.PATH_OR_URL, help="The file. [default: RUN/explore.html]")
@click.option("--umap", "with_umap", is_flag=True, help="Also place the problems by UMAP.")
@click.option(
    "--serve",
    "served",
    is_flag=True,
    help="Serve the page on this machine alone, so that it can save subsets into RUN/subsets.",
)
@click.option("--port", type=int, default=0, help="Port to serve on. [default: a free one]")
@click.option("--json", "as_json", is_flag=True, help="Print the page's path as JSON.")
def command(
    runs: tuple[Path, ...],
    out: Path | None,
    with_umap: bool,
    served: bool,
    port: int,
    as_json: bool,
) -> None:
    """Look into the pool of RUNS: a map of what each problem trains, in your browser.

    The page shows each problem as a point, near those whose gradients point the same way; what two
    rules choose; rollouts and verdicts; and saves what you mark as ids for `learnalign train
    --subset` and `export --subset`. More runs are compared with the first; folders of trainings add
    their history, and those of `learnalign stages` are both. A page of more than 64 MB is a folder,
    which --serve serves.

    \b
      learnalign explore runs/x
      learnalign explore runs/x runs/after runs/trained --umap
      learnalign explore runs/x --serve
    """  # noqa: D301
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.explore import explore, serve

    done = explore(
        runs,
        out=out,
        served=served,
        with_umap=with_umap,
        progress=Progress("none" if as_json else "auto"),
    )
    if as_json:
        echo_json({"path": str(done.path), "problems": done.problems})
    elif not done.is_folder:
        echo(done.path)
    if done.is_folder and not served:
        echo("The page is too large for one file: look at it with --serve.", err=True)
    if served:
        serve(done, port=port, say=lambda address: echo(f"{address}\nCtrl-C ends it."))
