"""The figures of the report, one function each; None where there is nothing to draw.

Colours are Okabe and Ito's, which colour-blind people tell apart; the chosen problems differ in
shape as well. Every text that comes from the data is escaped, because plotly reads some HTML.
"""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.reporting.stats import Floats, Stratum, chosen, numbers, texts

MAX_POINTS = 5000
MAX_STRATA = 30
HEIGHT = 360  # pixels

CHOSEN, REST, LINE = "#0072B2", "#A9B1BA", "#D55E00"

#: Room is made for the axis's numbers, however long, so that its title never stands on them.
_AXIS = {"gridcolor": "#e6e8eb", "linecolor": "#888", "zeroline": False, "automargin": True}
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#333"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 48, "r": 16, "t": 36, "b": 40},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"align": "left", "bgcolor": "#fff", "font": {"color": "#222"}},
        "xaxis": _AXIS | {"title": {"standoff": 8}},
        "yaxis": _AXIS | {"title": {"standoff": 12}},
    }
)


def success_rates(scores: pa.Table) -> go.Figure | None:
    """Draw the success rates of the pool and, in front, of the chosen problems."""
    rate = numbers(scores, "success_rate")
    known = np.isfinite(rate)
    if not known.any():
        return None
    rollouts, correct = numbers(scores, "num_rollouts"), numbers(scores, "num_correct")
    edges = _success_edges(rate[known], rollouts[known], correct[known])
    centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    made = _figure("mean reward of a problem (success rate)", "problems")
    for name, mask, colour in (("pool", known, REST), ("chosen", known & chosen(scores), CHOSEN)):
        counts = np.histogram(rate[mask], edges)[0]
        made.add_bar(
            x=centres.tolist(),
            y=counts.tolist(),
            name=name,
            marker_color=colour,
            width=width * (0.86 if name == "pool" else 0.56),
            hovertemplate=f"{name}: %{{y}} problems near %{{x:.3g}}<extra></extra>",
        )
    return made.update_layout(barmode="overlay")


def learnability_alignment(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw learnability against alignment; with method learnalign the chosen lie above a curve."""
    return _scatter(
        scores,
        x=numbers(scores, "learnability"),
        y=numbers(scores, "alignment"),
        x_title="learnability",
        y_title="alignment",
        mask=np.ones(scores.num_rows, dtype=bool),
        seed=seed,
    )


def add_threshold(made: go.Figure, scores: pa.Table) -> bool:
    """Add the curve on which learnability times alignment is the lowest chosen score.

    Returns whether there is such a curve: none where nothing, or a score of 0, was chosen.
    """
    learnability, alignment = numbers(scores, "learnability"), numbers(scores, "alignment")
    taken = chosen(scores)
    if not taken.any() or not np.isfinite(learnability).any():
        return False
    lowest, top = float(numbers(scores, "score")[taken].min()), float(np.nanmax(learnability))
    highest = float(np.nanmax(alignment)) if np.isfinite(alignment).any() else 0.0
    if not (lowest > 0 and highest > 0 and top > 0) or lowest / highest >= top:
        return False
    x = np.linspace(lowest / highest, top * 1.02, 60)
    made.add_scatter(
        x=x.tolist(),
        y=(lowest / x).tolist(),
        mode="lines",
        line={"color": LINE, "width": 1.5, "dash": "dot"},
        name="lowest chosen score",
        hoverinfo="skip",
    )
    return True


def length_norm(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw response length against the gradient's norm, for the problems with a gradient."""
    norm = numbers(scores, "gradient_norm")
    made = _scatter(
        scores,
        x=numbers(scores, "mean_response_tokens"),
        y=norm,
        x_title="mean response length, tokens",
        y_title="gradient norm",
        mask=norm > 0,
        seed=seed,
    )
    return _log_if_wide(_log_if_wide(made, "x"), "y")


def length_score(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw response length against the score, for the problems with signal."""
    made = _scatter(
        scores,
        x=numbers(scores, "mean_response_tokens"),
        y=numbers(scores, "score"),
        x_title="mean response length, tokens",
        y_title="score",
        mask=numbers(scores, "learnability") > 0,
        seed=seed,
    )
    return _log_if_wide(made, "x")


def shares(strata: list[Stratum]) -> go.Figure | None:
    """Draw a bar a source or difficulty: chosen, and the rest of the pool, with the share chosen.

    Past thirty bars the others are left to one bar together.
    """
    if not strata:
        return None
    rows = _merged(strata)
    places = list(range(len(rows)))
    made = _figure("problems", "")
    parts = (
        ("chosen", CHOSEN, [row.chosen for row in rows]),
        ("not chosen", REST, [row.total - row.chosen for row in rows]),
    )
    for name, colour, counts in parts:
        made.add_bar(
            y=places,
            x=counts,
            orientation="h",
            name=name,
            marker_color=colour,
            text=[_label(row.name) for row in rows],
            textposition="none",
            hovertemplate=f"%{{text}}: %{{x}} {name}<extra></extra>",
        )
    labels = [
        f"{_label(row.name, 26)}<br><b>{row.chosen:,}</b> of {row.total:,}"
        f" ({row.chosen / row.total:.0%})".replace("%", " %")
        for row in rows
    ]
    made.update_layout(barmode="stack", height=120 + 44 * len(rows), legend_traceorder="normal")
    made.update_yaxes(
        tickvals=places,
        ticktext=labels,
        autorange="reversed",
        automargin=True,
        showgrid=False,
        ticklabelstandoff=8,
    )
    return made


def stability(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw, by rank, how often a problem is chosen when the rollouts are resampled."""
    made = _scatter(
        scores,
        x=numbers(scores, "rank"),
        y=numbers(scores, "stability"),
        x_title="rank",
        y_title="share of resamples choosing it",
        mask=np.ones(scores.num_rows, dtype=bool),
        seed=seed,
    )
    if made is not None:
        made.update_yaxes(range=[-0.04, 1.04])
        made.add_vline(x=float(chosen(scores).sum()) + 0.5, line_dash="dot", line_color=LINE)
    return made


def _success_edges(rate: Floats, rollouts: Floats, correct: Floats) -> Floats:
    """Edges of the bins: one bin a possible value when all groups are alike and rewards are 0/1."""
    group = rollouts[0]
    alike = bool(np.all(rollouts == group) and np.allclose(rate * rollouts, correct))
    if alike and 1 <= group <= 32:
        return np.asarray((np.arange(group + 2) - 0.5) / group, dtype=np.float64)
    low, high = min(0.0, float(rate.min())), max(1.0, float(rate.max()))
    return np.linspace(low, high, 21)


def _scatter(
    scores: pa.Table,
    *,
    x: Floats,
    y: Floats,
    x_title: str,
    y_title: str,
    mask: NDArray[np.bool_],
    seed: int,
) -> go.Figure | None:
    """Draw one point a problem, the chosen ones marked; a large pool is subsampled."""
    index = np.flatnonzero(mask & np.isfinite(x) & np.isfinite(y))
    if len(index) == 0:
        return None
    num_known = len(index)
    if num_known > MAX_POINTS:
        drawn = np.random.default_rng(seed).choice(index, MAX_POINTS, replace=False)
        index = np.sort(drawn)
    hover, taken = _hover(scores, index), chosen(scores)[index]
    made = _figure(x_title, y_title)
    looks: tuple[tuple[str, NDArray[np.bool_], dict[str, Any]], ...] = (
        ("not chosen", ~taken, {"color": REST, "size": 6, "symbol": "circle", "opacity": 0.75}),
        ("chosen", taken, {"color": CHOSEN, "size": 8, "symbol": "diamond", "opacity": 0.85}),
    )
    for name, which, marker in looks:
        made.add_scatter(
            x=x[index][which].tolist(),
            y=y[index][which].tolist(),
            mode="markers",
            name=name,
            marker=marker,
            text=[hover[i] for i in np.flatnonzero(which)],
            hovertemplate="%{text}<extra></extra>",
        )
    if num_known > MAX_POINTS:
        note = f"{MAX_POINTS:,} of {num_known:,} problems drawn, at random"
        made.add_annotation(
            text=note, showarrow=False, xref="paper", yref="paper", x=1, y=1, xanchor="right"
        )
    return made


def _log_if_wide(made: go.Figure | None, axis: str) -> go.Figure | None:
    """Make an axis logarithmic when its values are positive and span more than a factor of 30."""
    if made is not None:
        values = np.concatenate([np.asarray(trace[axis], dtype=float) for trace in made.data])
        if values.min() > 0 and values.max() / values.min() > 30:
            made.update_layout({f"{axis}axis": {"type": "log", "dtick": 1}})
    return made


def _hover(scores: pa.Table, index: NDArray[np.intp]) -> list[str]:
    """Say what a point is: id, rank, success rate, score, source."""
    rows = scores.take(pa.array(index))
    columns = (
        texts(rows, "problem_id"),
        numbers(rows, "rank"),
        numbers(rows, "success_rate"),
        numbers(rows, "score"),
        texts(rows, "source"),
    )
    return [
        f"<b>{_label(name or '')}</b><br>rank {rank:.0f}<br>p = {p:.3g}<br>score {score:.3g}"
        + (f"<br>{_label(source)}" if source else "")
        for name, rank, p, score, source in zip(*columns, strict=True)
    ]


def _merged(strata: list[Stratum]) -> list[Stratum]:
    if len(strata) <= MAX_STRATA:
        return strata
    kept, rest = strata[: MAX_STRATA - 1], strata[MAX_STRATA - 1 :]
    others = Stratum(
        f"{len(rest)} others", sum(row.total for row in rest), sum(row.chosen for row in rest)
    )
    return [*kept, others]


def _label(text: str, width: int = 60) -> str:
    """Escape a text for plotly, cut to what a figure has room for."""
    return escape(text if len(text) <= width else text[: width - 1] + "…")


def _figure(x_title: str, y_title: str) -> go.Figure:
    made = go.Figure(layout={"template": _TEMPLATE, "height": HEIGHT})
    made.update_xaxes(title_text=x_title)
    return made.update_yaxes(title_text=y_title)
