"""``learnalign compare``: which problems each method selects, and how much they overlap."""

import json
from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo_json

_METHODS = "learnalign,learnability,alignment,inner_product,band,random"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=o.PATH_OR_URL)
@click.option("--methods", default=_METHODS, show_default=True, help="Comma-separated names.")
@o.options("selection.budget", "selection.target", "selection.per_source", "selection.history")
@o.options("selection.num_bootstrap")
@click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Any option of selection.")
@click.option("--out", "-o", type=o.PATH_OR_URL, help="[default: RUN/compare]")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(
    runs: tuple[Path, ...],
    methods: str,
    sets: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compare what several methods select from RUNS: overlaps, success rates, lengths, sources.

    Tables that a method needs and a run lacks are computed first (docs/concepts/methods.md). With
    several runs (for example with and without a warm-up), every method selects from each. Each
    selection is written as a file of ids for `learnalign train MODEL RUN --subset FILE`.

    \b
      learnalign compare runs/x --budget 1000
      learnalign compare runs/x runs/warm --methods learnalign,learnability --budget 0.1
    """  # noqa: D301
    configs = [o.run_config(run, sets, flags) for run in runs]
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.compare import compare

    done = compare(
        configs,
        [name.strip() for name in methods.split(",") if name.strip()],
        out=out or runs[0] / "compare",
        progress=Progress("none" if as_json else "auto"),
    )
    if as_json:
        echo_json(json.loads((done.path / "compare.json").read_text(encoding="utf-8")))
        return
    from learnalign.cli.output import print_comparison

    print_comparison(done)
