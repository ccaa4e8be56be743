"""The figures of the report, one function each; they return None if there is nothing to draw.

The colours are Okabe and Ito's colour-blind-safe palette, and chosen problems also differ in shape.
Text from the data is escaped, because plotly interprets some HTML.
"""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.reporting.stats import Floats, Stratum, chosen, numbers, success_counts, texts

MAX_POINTS = 5000
MAX_STRATA = 30
HEIGHT = 360  # pixels

CHOSEN, REST, LINE = "#0072B2", "#A9B1BA", "#D55E00"

#: automargin makes room for long tick labels, so that the axis title does not overlap them.
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
    found = success_counts(scores)
    if found is None:
        return None
    edges = found.edges
    centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    figure = _figure("mean reward of a problem (success rate)", "problems")
    for name, counts, colour in (("pool", found.pool, REST), ("chosen", found.chosen, CHOSEN)):
        figure.add_bar(
            x=centres.tolist(),
            y=counts.tolist(),
            name=name,
            marker_color=colour,
            width=width * (0.86 if name == "pool" else 0.56),
            hovertemplate=f"{name}: %{{y}} problems near %{{x:.3g}}<extra></extra>",
        )
    return figure.update_layout(barmode="overlay")


def learnability_alignment(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw learnability against alignment."""
    return _scatter(
        scores,
        x=numbers(scores, "learnability"),
        y=numbers(scores, "alignment"),
        x_title="learnability",
        y_title="alignment",
        mask=np.ones(scores.num_rows, dtype=bool),
        seed=seed,
    )


def add_threshold(figure: go.Figure, scores: pa.Table) -> bool:
    """Add the curve on which learnability times alignment is the lowest chosen score.

    Returns whether the curve was added; it does not exist if nothing, or a score of 0, was chosen.
    """
    learnability, alignment = numbers(scores, "learnability"), numbers(scores, "alignment")
    selected = chosen(scores)
    if not selected.any() or not np.isfinite(learnability).any():
        return False
    lowest, top = float(numbers(scores, "score")[selected].min()), float(np.nanmax(learnability))
    highest = float(np.nanmax(alignment)) if np.isfinite(alignment).any() else 0.0
    if not (lowest > 0 and highest > 0 and top > 0) or lowest / highest >= top:
        return False
    x = np.linspace(lowest / highest, top * 1.02, 60)
    figure.add_scatter(
        x=x.tolist(),
        y=(lowest / x).tolist(),
        mode="lines",
        line={"color": LINE, "width": 1.5, "dash": "dot"},
        name="lowest chosen score",
        hoverinfo="skip",
    )
    return True


def length_norm(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw response length against gradient norm, for problems with a gradient."""
    norm = numbers(scores, "gradient_norm")
    figure = _scatter(
        scores,
        x=numbers(scores, "mean_response_tokens"),
        y=norm,
        x_title="mean response length, tokens",
        y_title="gradient norm",
        mask=norm > 0,
        seed=seed,
    )
    return _log_if_wide(_log_if_wide(figure, "x"), "y")


def length_score(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw response length against score, for problems with signal."""
    figure = _scatter(
        scores,
        x=numbers(scores, "mean_response_tokens"),
        y=numbers(scores, "score"),
        x_title="mean response length, tokens",
        y_title="score",
        mask=numbers(scores, "learnability") > 0,
        seed=seed,
    )
    return _log_if_wide(figure, "x")


def shares(strata: list[Stratum]) -> go.Figure | None:
    """Draw one stacked bar per source or difficulty: chosen and not chosen problems.

    Beyond `MAX_STRATA` bars, the rest are merged into one.
    """
    if not strata:
        return None
    rows = _merged(strata)
    positions = list(range(len(rows)))
    figure = _figure("problems", "")
    parts = (
        ("chosen", CHOSEN, [row.chosen for row in rows]),
        ("not chosen", REST, [row.total - row.chosen for row in rows]),
    )
    for name, colour, counts in parts:
        figure.add_bar(
            y=positions,
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
    figure.update_layout(barmode="stack", height=120 + 44 * len(rows), legend_traceorder="normal")
    figure.update_yaxes(
        tickvals=positions,
        ticktext=labels,
        autorange="reversed",
        automargin=True,
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def stability(scores: pa.Table, *, seed: int) -> go.Figure | None:
    """Draw, by rank, the share of rollout resamples in which a problem is chosen."""
    figure = _scatter(
        scores,
        x=numbers(scores, "rank"),
        y=numbers(scores, "stability"),
        x_title="rank",
        y_title="share of resamples that choose it",
        mask=np.ones(scores.num_rows, dtype=bool),
        seed=seed,
    )
    if figure is not None:
        figure.update_yaxes(range=[-0.04, 1.04])
        figure.add_vline(x=float(chosen(scores).sum()) + 0.5, line_dash="dot", line_color=LINE)
    return figure


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
    """Draw one point per problem and mark the chosen ones; a large pool is subsampled."""
    index = np.flatnonzero(mask & np.isfinite(x) & np.isfinite(y))
    if len(index) == 0:
        return None
    num_known = len(index)
    if num_known > MAX_POINTS:
        sampled = np.random.default_rng(seed).choice(index, MAX_POINTS, replace=False)
        index = np.sort(sampled)
    hover, selected = _hover(scores, index), chosen(scores)[index]
    figure = _figure(x_title, y_title)
    styles: tuple[tuple[str, NDArray[np.bool_], dict[str, Any]], ...] = (
        ("not chosen", ~selected, {"color": REST, "size": 6, "symbol": "circle", "opacity": 0.75}),
        ("chosen", selected, {"color": CHOSEN, "size": 8, "symbol": "diamond", "opacity": 0.85}),
    )
    for name, group, marker in styles:
        figure.add_scatter(
            x=x[index][group].tolist(),
            y=y[index][group].tolist(),
            mode="markers",
            name=name,
            marker=marker,
            text=[hover[i] for i in np.flatnonzero(group)],
            hovertemplate="%{text}<extra></extra>",
        )
    if num_known > MAX_POINTS:
        note = f"random sample of {MAX_POINTS:,} of {num_known:,} problems"
        figure.add_annotation(
            text=note, showarrow=False, xref="paper", yref="paper", x=1, y=1, xanchor="right"
        )
    return figure


def _log_if_wide(figure: go.Figure | None, axis: str) -> go.Figure | None:
    """Make an axis logarithmic if its values are positive and span more than a factor of 30."""
    if figure is not None:
        values = np.concatenate([np.asarray(trace[axis], dtype=float) for trace in figure.data])
        if values.min() > 0 and values.max() / values.min() > 30:
            figure.update_layout({f"{axis}axis": {"type": "log", "dtick": 1}})
    return figure


def _hover(scores: pa.Table, index: NDArray[np.intp]) -> list[str]:
    """Return the hover text of each point: id, rank, success rate, score, source."""
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
    """Cut a text to ``width`` characters and escape it for plotly."""
    return escape(text if len(text) <= width else text[: width - 1] + "…")


def _figure(x_title: str, y_title: str) -> go.Figure:
    figure = go.Figure(layout={"template": _TEMPLATE, "height": HEIGHT})
    figure.update_xaxes(title_text=x_title)
    return figure.update_yaxes(title_text=y_title)
