"""The figures of `learnalign plot`: each is a table, which goes beside it, and how to draw it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.reporting.print_style import CHOSEN, LINE, MANY, MARKERS, NAMED, REST
from learnalign.reporting.stats import Floats, chosen, numbers, spearman, success_counts, texts

#: Characters of a name beyond which a legend has one column.
_WIDE = 24


@dataclass(frozen=True)
class Drawing:
    """A figure: its data, and a function that draws them and nothing else."""

    table: pa.Table
    draw: Callable[[Any], None]
    """Called with an empty ``matplotlib.figure.Figure``."""
    height: float
    """As a share of the width."""


def rates(scores: pa.Table) -> Drawing | None:
    """Count the pool and the chosen problems by success rate."""
    found = success_counts(scores)
    if found is None:
        return None
    edges = found.edges
    table = pa.table(
        {"from": edges[:-1], "to": edges[1:], "pool": found.pool, "chosen": found.chosen},
    )

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        middle, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
        axes.bar(middle, found.pool, 0.86 * width, color=REST, label="pool")
        axes.bar(middle, found.chosen, 0.56 * width, color=CHOSEN, label="chosen")
        axes.set(xlabel="success rate", ylabel="problems")
        axes.legend()

    return Drawing(table, draw, 0.7)


def lengths(scores: pa.Table) -> Drawing | None:
    """Set response length against gradient norm and score, for problems with a signal."""
    columns = ["problem_id", "mean_response_tokens", "gradient_norm", "score", "selected"]
    table = scores.filter(pa.array(numbers(scores, "learnability") > 0)).select(columns)
    tokens = numbers(table, "mean_response_tokens")
    panels = {"gradient_norm": "gradient norm", "score": "score"}
    panels = {key: label for key, label in panels.items() if np.isfinite(numbers(table, key)).any()}
    if not (panels and np.isfinite(tokens).any()):
        return None

    def draw(figure: Any) -> None:
        rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (key, label) in zip(rows, panels.items(), strict=True):
            values = numbers(table, key)
            _points(axes, tokens, values, chosen(table))
            rho, count = spearman(tokens, values)
            known = f"Spearman's rho = {rho:.2f}, " if rho is not None else ""
            axes.set_title(f"{known}n = {count:,}", fontsize=7, loc="right")
            axes.set_ylabel(label)
        rows[0].legend(loc="upper right")
        rows[-1].set_xlabel("mean response length, tokens")
        figure.align_ylabels()

    return Drawing(table, draw, 0.62 * len(panels) + 0.1)


def stability(scores: pa.Table) -> Drawing | None:
    """Show in which share of rollout resamples each problem is chosen, by rank."""
    table = scores.select(["problem_id", "rank", "stability", "selected"])
    share = numbers(table, "stability")
    if not np.isfinite(share).any():
        return None

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _points(axes, numbers(table, "rank"), share, chosen(table))
        axes.axvline(float(chosen(table).sum()) + 0.5, color=LINE, linestyle=":")
        axes.set(xlabel="rank", ylabel="share of resamples that choose it", ylim=(-0.04, 1.04))
        axes.legend()

    return Drawing(table, draw, 0.7)


def compare(choices: Sequence[tuple[str, Sequence[str]]]) -> Drawing | None:
    """Count what the choices of each two rules have in common.

    Args:
        choices: Rules and the ids that they choose.
    """
    if len(choices) < 2:
        return None
    rows = [
        (name, len(ids), other, len(set(ids) & set(others)))
        for name, ids in choices
        for other, others in choices
    ]
    columns = dict(zip(("rule", "chosen", "other", "shared"), zip(*rows, strict=True), strict=True))
    share = [shared / max(1, count) for _, count, _, shared in rows]
    table = pa.table({name: list(values) for name, values in columns.items()} | {"share": share})

    def draw(figure: Any) -> None:
        axes, names = figure.subplots(), [name for name, _ in choices]
        shares = table["share"].to_numpy().reshape(len(names), len(names))
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 0.6 else "black"
            size = min(7.0, 60.0 / len(names))
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=ink, size=size)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("share of the row's choice that the column has")

    return Drawing(table, draw, 0.95)


def pool_map(
    ids: Sequence[str],
    points: Floats,
    placed: Sequence[bool],
    lack: str,
    colour: tuple[str, Sequence[Any]],
    limits: tuple[float, float] | None = None,
) -> Drawing:
    """Place problems on a map.

    Args:
        ids: n problem ids.
        points: (n, 2) places.
        placed: (n,) False for problems in the strip below the map.
        lack: What problems in the strip do not have.
        colour: What colours them: a label, and n numbers or names, None where there is none.
        limits: Ends of the scale of colours; None for the first and last percentile.
    """
    label, values = colour
    table = pa.table(
        {
            "problem_id": list(ids),
            "x": points[:, 0],
            "y": points[:, 1],
            "in_strip": [not one for one in placed],
            label: pa.array(values),
        }
    )

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        small = {"s": _size(len(ids)), "linewidths": 0.0, "rasterized": len(ids) > MANY}
        if pa.types.is_string(table[label].type):
            _named(axes, points, texts(table, label), small)
        else:
            found = numbers(table, label)
            known = np.isfinite(found)
            low, high = limits or tuple(np.percentile(found[known], [1, 99]))
            axes.scatter(*points[~known].T, c=REST, **small)
            drawn = axes.scatter(
                *points[known].T, c=found[known], cmap="viridis", vmin=low, vmax=high, **small
            )
            bar = figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=25, pad=0.02)
            bar.set_label(label)
            bar.outline.set_visible(False)
        axes.set_aspect("equal")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if not all(placed):
            count = len(placed) - sum(placed)
            problems = f"{count:,} problem{'' if count == 1 else 's'}"
            axes.set_xlabel(f"strip: {problems} without {lack}", fontsize=7)

    return Drawing(table, draw, 0.95)


def _named(axes: Any, points: Floats, names: Sequence[str | None], small: dict[str, Any]) -> None:
    """Draw the largest groups in colours and shapes, all others in grey."""
    given = np.array([name if name is not None else "" for name in names])
    unique, counts = np.unique(given[given != ""], return_counts=True)
    largest = [str(unique[i]) for i in np.lexsort((unique, -counts))][: len(NAMED)]
    rest = ~np.isin(given, largest)
    if rest.any():
        axes.scatter(*points[rest].T, c=REST, label="others", **small)
    for name, colour, marker in zip(largest, NAMED, MARKERS, strict=False):
        axes.scatter(*points[given == name].T, c=colour, marker=marker, label=name, **small)
    columns = 2 if max(map(len, largest), default=0) < _WIDE else 1
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": columns}
    axes.legend(markerscale=max(1.0, 3.0 / small["s"] ** 0.5), handletextpad=0.3, **above)


def _points(axes: Any, x: Floats, y: Floats, selected: Any) -> None:
    """Draw one point a problem; chosen ones differ in shape, too."""
    size, many = _size(len(x)), len(x) > MANY
    styles: Iterable[tuple[str, Any, str, str]] = (
        ("not chosen", ~selected, REST, "o"),
        ("chosen", selected, CHOSEN, "D"),
    )
    for name, mask, colour, marker in styles:
        axes.scatter(
            x[mask], y[mask], size, c=colour, marker=marker, label=name, lw=0.0, rasterized=many
        )


def _size(count: int) -> float:
    """Return the area of a point, in square points."""
    return float(np.clip(3000.0 / max(1, count), 0.6, 12.0))
