"""Tables and the picture of `curriculum.py`: accuracy, paired differences, and what was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plotly.subplots import make_subplots

from vs_tables import interval, markdown

Row = dict[str, Any]
Curve = tuple[np.ndarray, np.ndarray]
BASELINE = "order"


def pool_rows(cells: Sequence[Row], methods: Sequence[str]) -> list[Row]:
    """Compare the methods in one pool, paired by the seeds that both have.

    Args:
        cells: Finished cells of one pool.
        methods: Order of the rows; those without a cell are left out.
    """
    end = min(cell["readings"][-1]["rollouts"] for cell in cells)
    by_method = {name: {c["seed"]: c for c in cells if c["method"] == name} for name in methods}
    baseline = by_method.get(BASELINE, {})
    rows = []
    for name, found in by_method.items():
        paired = sorted(found.keys() & baseline.keys())
        if not found:
            continue
        pairs = [(found[seed], baseline[seed]) for seed in paired]
        row: Row = {
            "curriculum": name,
            "seeds": len(found),
            "accuracy": float(np.mean([at(cell, end) for cell in found.values()])),
            f"to {BASELINE}, equal rollouts": difference(
                [at(a, end) - at(b, end) for a, b in pairs]
            ),
            "equal seconds": difference([at_equal_seconds(a, b) for a, b in pairs]),
            f"rollouts to {BASELINE}'s accuracy": rollouts_to(
                [a for a, _ in pairs], [b for _, b in pairs], end
            ),
            "seconds": float(np.mean([c["readings"][-1]["seconds"] for c in found.values()])),
            "groups with a signal": float(np.mean([cell["signal"] for cell in found.values()])),
            "coins and guesses": float(np.mean([noise(cell) for cell in found.values()])),
            "coverage": float(np.mean([cell["coverage"] for cell in found.values()])),
        }
        rows.append(row)
    return rows


def at(cell: Row, rollouts: float) -> float:
    """Return the accuracy after some rollouts; a last step that drops groups goes beyond them."""
    return float(np.interp(rollouts, *curve(cell, "rollouts")))


def noise(cell: Row) -> float:
    """Return the share of coins and guesses among the trained groups with a signal."""
    counts = cell["trained"]["noise"]
    return float((counts.get("coin", 0) + counts.get("guess", 0)) / max(1, sum(counts.values())))


def at_equal_seconds(cell: Row, other: Row) -> float:
    """Return the difference of two accuracies when the faster run ends."""
    curves = [curve(cell, "seconds"), curve(other, "seconds")]
    end = min(x[-1] for x, _ in curves)
    first, second = (float(np.interp(end, x, y)) for x, y in curves)
    return first - second


def curve(cell: Row, unit: str) -> Curve:
    """Return (readings,) rollouts or seconds, and accuracies."""
    return (
        np.array([reading[unit] for reading in cell["readings"]], dtype=float),
        np.array([reading["accuracy"] for reading in cell["readings"]]),
    )


def mean_curve(cells: Sequence[Row], points: np.ndarray) -> np.ndarray:
    """Return the mean accuracy of some cells at given numbers of rollouts."""
    curves = [np.interp(points, *curve(cell, "rollouts")) for cell in cells]
    mean: np.ndarray = np.mean(curves, axis=0)
    return mean


def rollouts_to(cells: Sequence[Row], others: Sequence[Row], end: float) -> float | None:
    """Return the share of rollouts at which the mean curve reaches the others' mean at the end.

    None if it does not. Between readings the curve is taken as straight, and nothing is known
    before the first one.
    """
    if not cells:
        return None
    points = np.linspace(0.2, 1.0, 81)
    reached = mean_curve(cells, points * end) >= np.mean([at(cell, end) for cell in others]) - 1e-12
    return float(points[reached.argmax()]) if reached.any() else None


def difference(values: Sequence[float]) -> Row | None:
    """Return the mean of paired differences and Student's 95 % interval."""
    if len(values) < 2:
        return None
    mean, low, high = interval(list(values))
    return {"difference": mean, "low": low, "high": high, "values": list(values)}


def tables(cells: Sequence[Row], pools: Sequence[str], methods: Sequence[str]) -> list[Row]:
    """Return the table of each pool that has cells."""
    found = []
    for pool in pools:
        mine = [cell for cell in cells if cell["pool"] == pool]
        found += [{"table": pool, "rows": pool_rows(mine, methods)}] if mine else []
    return found


def text(found: Sequence[Row]) -> str:
    """Return the tables as Markdown."""
    return "\n".join(f"\n{table['table']}\n\n{markdown(table['rows'])}\n" for table in found)


def draw(path: Path, cells: Sequence[Row], pools: Sequence[str], methods: Sequence[str]) -> None:
    """Write a self-contained page with the mean curves of each pool.

    Methods that do not have all seeds of the baseline are left out: their means are of other pools.
    """
    shown = [pool for pool in pools if any(cell["pool"] == pool for cell in cells)]
    figure = make_subplots(rows=1, cols=len(shown), subplot_titles=shown, shared_yaxes=True)
    for column, pool in enumerate(shown, 1):
        seeds = {c["seed"] for c in cells if c["pool"] == pool and c["method"] == BASELINE}
        for number, name in enumerate(methods):
            mine = [c for c in cells if c["pool"] == pool and c["method"] == name]
            if len({c["seed"] for c in mine}) < len(seeds):
                continue
            points = np.linspace(0.2, 1.0, 5) * min(c["readings"][-1]["rollouts"] for c in mine)
            figure.add_scatter(
                x=points,
                y=mean_curve(mine, points),
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                line={"color": _COLOURS[number % len(_COLOURS)]},
                row=1,
                col=column,
            )
        figure.update_xaxes(title_text="rollouts", row=1, col=column)
    figure.update_yaxes(title_text="held-out accuracy", row=1, col=1)
    figure.update_layout(template="plotly_white", width=360 * len(shown) + 120, height=420)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})


_COLOURS = ("#555555", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00")
