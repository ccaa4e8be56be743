"""Draw a run's figures for print, each with its data beside it as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv

from learnalign.errors import LearnAlignError, nearest
from learnalign.exploring.fields import Field
from learnalign.exploring.maps import maps
from learnalign.reporting import print_figures
from learnalign.reporting.print_figures import Drawing
from learnalign.reporting.print_style import KINDS, FileKind, drawn, is_drawn
from learnalign.runs.folder import scored
from learnalign.storage import files
from learnalign.storage.replacing import require_replaceable
from learnalign.terminal.commands import command_line
from learnalign.terminal.progress import Progress
from learnalign.workflows.explored_run import ExploredRun
from learnalign.workflows.rankings import rankings

#: The figures, and what a run without one of them lacks.
FIGURES = {
    "map": "problems to place",
    "rates": "success rates",
    "lengths": "problems with a signal and a response length",
    "stability": "bootstrap: `{score} --num-bootstrap 200` computes it",
    "compare": "two rules whose tables it has, and a budget",
}
#: Fields whose values lie between 0 and 1 (but success rates are mean rewards, which may lie
#: elsewhere), so that colours mean the same in every run.
_SHARES = ("success_rate", "stability")


@dataclass(frozen=True)
class Plotted:
    """The written files."""

    paths: list[Path]
    left_out: dict[str, str]
    """Figures that were not asked for by name and that this run has no data for, and why."""


def plot(
    run: Path,
    *,
    figures: Sequence[str] = (),
    kind: FileKind = "pdf",
    out: Path | None = None,
    colour: str = "success_rate",
    with_umap: bool = False,
    width: float = 3.3,
    progress: Progress,
) -> Plotted:
    """Draw figures of a run; the same run gives the same bytes.

    Args:
        run: The folder of a finished selection.
        figures: Names among `FIGURES`; none for all that the run has data for.
        kind: Format of the files.
        out: Folder for ``NAME.KIND`` and ``NAME.csv``; default ``figures`` in the run's folder.
        colour: Key of the field that colours the map.
        with_umap: Place the map's problems by UMAP, not by principal components.
        width: Inches; 3.3 is a column of two.
        progress: Shows the figures.

    Raises:
        LearnAlignError: for a run without a ranking, an unknown colour, a figure asked for by
            name that the run has no data for, or where files that are no earlier figures would be
            overwritten.
    """
    folder, paths, left_out = out or run / "figures", list[Path](), dict[str, str]()
    _check_files(folder, figures or tuple(FIGURES), kind)
    explored = ExploredRun(scored(run))
    draw: dict[str, Callable[[], Drawing | None]] = {
        "map": lambda: _map(explored, colour, with_umap=with_umap),
        "rates": lambda: print_figures.rates(explored.scores),
        "lengths": lambda: print_figures.lengths(explored.scores),
        "stability": lambda: print_figures.stability(explored.scores),
        "compare": lambda: _compare(explored),
    }
    for name in figures or FIGURES:
        progress.log(f"figure {name}")
        drawing = draw[name]()
        if drawing is None:
            left_out[name] = (
                f"the run has no {FIGURES[name].format(score=command_line('score', run))}"
            )
            if name in figures:
                raise LearnAlignError(f"got --figure {name}, but {left_out[name]}")
            continue
        picture = drawn(drawing.draw, kind, width, width * drawing.height)
        table = BytesIO()
        pa_csv.write_csv(drawing.table, table)
        for suffix, data in ((kind, picture), ("csv", table.getvalue())):
            paths.append(folder / f"{name}.{suffix}")
            with files.atomic(paths[-1]) as temporary:
                temporary.write_bytes(data)
    return Plotted(paths, left_out)


def _check_files(folder: Path, figures: Sequence[str], kind: FileKind) -> None:
    """Reject a folder whose files of these names are no earlier figures and their data."""
    for name in figures:
        for suffix, is_own in ((kind, is_drawn), ("csv", _is_beside_figure)):
            require_replaceable(
                folder / f"{name}.{suffix}",
                is_own,
                kind="a figure of `learnalign plot`, or the data beside one",
                expected="a folder without a file of this name, or with earlier figures",
                do="choose another folder with --out, or move this file",
            )


def _is_beside_figure(path: Path) -> bool:
    return any(is_drawn(path.with_suffix(f".{kind}")) for kind in KINDS)


def _map(explored: ExploredRun, colour: str, *, with_umap: bool) -> Drawing | None:
    ids, seed = explored.ids, explored.config.run.seed
    if not ids:
        return None
    layouts, groups = maps(explored.bases(), explored.texts, with_umap=with_umap, seed=seed)
    fields = {field.key: field for field in [*explored.fields(), *groups]}
    if colour not in fields:
        raise LearnAlignError(
            f"got --colour {colour}",
            expected=f"a value of this run: {nearest(colour, fields)}",
            do="correct --colour",
        )
    field = fields[colour]
    share = colour in _SHARES and not ((field.values < 0.0) | (field.values > 1.0)).any()
    return print_figures.pool_map(
        ids,
        layouts[0].points.astype(np.float64),
        layouts[0].placed.tolist(),
        layouts[0].lack,
        (field.label, _values(field)),
        (0.0, 1.0) if share else None,
    )


def _values(field: Field) -> list[float | str | None]:
    if field.kind == "name":
        return [None if code < 0 else field.names[code] for code in field.values.tolist()]
    return [None if np.isnan(value) else value for value in field.values.tolist()]


def _compare(explored: ExploredRun) -> Drawing | None:
    """Compare what the rules choose at the run's budget."""
    count = sum(explored.scores["selected"].to_pylist())
    if not count:
        return None
    plain = explored.config.selection.model_copy(update={"budget": count})
    config = explored.config.model_copy(update={"selection": plain})
    return print_figures.compare(
        [
            (name, scores.filter(scores["selected"])["problem_id"].to_pylist())
            for name, scores in rankings(explored.folder, config, budgeted=True)
        ]
    )
