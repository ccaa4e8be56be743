"""``learnalign plot``: figures of a run for a paper."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json

_FIGURES = ("map", "rates", "lengths", "stability", "compare")


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@click.option(
    "--figure",
    "figures",
    multiple=True,
    type=click.Choice(_FIGURES),
    help="Which; may be repeated. [default: all that the run has data for]",
)
@click.option(
    "--format",
    "kind",
    default="pdf",
    show_default=True,
    type=click.Choice(["svg", "png", "pdf"]),
    help="Format of the files; png has 300 points an inch.",
)
@click.option("--out", "-o", type=o.PATH_OR_URL, help="Folder. [default: RUN/figures]")
@click.option(
    "--colour",
    default="success_rate",
    show_default=True,
    help="What colours the map: success_rate, learnability, alignment, score, selected, source, "
    "difficulty, group_gradients and other values of the page of `learnalign explore`.",
)
@click.option("--umap", "with_umap", is_flag=True, help="Place the map's problems by UMAP.")
@click.option(
    "--width",
    default=3.3,
    show_default=True,
    type=click.FloatRange(1.5, 20.0),
    help="Inches: 3.3 is a column of two, 6.5 a page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def command(
    run: Path,
    figures: tuple[str, ...],
    kind: str,
    out: Path | None,
    colour: str,
    with_umap: bool,
    width: float,
    as_json: bool,
) -> None:
    """Draw figures of RUN for a paper, each with its numbers beside it as CSV.

    \b
      map        each problem, near those whose gradients point the same way
      rates      success rates of the pool and of the chosen problems
      lengths    response length against gradient norm and score: is there a bias left?
      stability  how often each rank is chosen when the rollouts are resampled
      compare    what the selection methods have in common at the run's budget

    The same run gives the same files. Colours are safe for the colour-blind, and what they say is
    also said by lightness or shape. Needs `pip install 'learnalign[plot]'`.

    \b
      learnalign plot runs/x
      learnalign plot runs/x --figure map --colour source --format svg --width 6.5
    """  # noqa: D301
    from typing import cast

    from learnalign.reporting.print_style import FileKind
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.plot import plot

    done = plot(
        run,
        figures=figures,
        kind=cast(FileKind, kind),
        out=out,
        colour=colour,
        with_umap=with_umap,
        width=width,
        progress=Progress("none" if as_json else "auto"),
    )
    if as_json:
        echo_json({"paths": [str(path) for path in done.paths], "left_out": done.left_out})
        return
    for path in done.paths:
        echo(path)
    for name, why in done.left_out.items():
        echo(f"{name} is left out: {why}.", err=True)
