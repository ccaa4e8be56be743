"""The chart that compares selections: their overlap and their sources."""

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from learnalign.storage import files

_MOST_SOURCES = 12


def comparison_figure(
    labels: list[str], overlaps: list[list[float]], sources: list[dict[str, int]]
) -> go.Figure:
    """Draw the overlaps as a heatmap, and the shares of each selection's sources.

    Args:
        labels: (m,) names of the selections.
        overlaps: (m, m) share of the row's problems that the column also has.
        sources: For each selection, its number of problems by source.
    """
    figure = make_subplots(
        rows=1,
        cols=2,
        column_widths=[0.55, 0.45],
        horizontal_spacing=0.2,
        subplot_titles=("share of the row's problems that the column has", "sources"),
    )
    figure.add_trace(
        go.Heatmap(
            z=overlaps,
            x=labels,
            y=labels,
            zmin=0.0,
            zmax=1.0,
            colorscale="Blues",
            showscale=False,
            texttemplate="%{z:.2f}",
            hovertemplate="%{y} in %{x}: %{z:.3f}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    totals: dict[str, int] = {}
    for choice in sources:
        for name, count in choice.items():
            totals[name] = totals.get(name, 0) + count
    shown = sorted(totals, key=lambda name: -totals[name])
    rest = set(shown[_MOST_SOURCES:])
    for name in [*shown[:_MOST_SOURCES], *(["others"] if rest else [])]:
        wanted = rest if name == "others" else {name}
        shares = [
            sum(choice.get(source, 0) for source in wanted) / max(1, sum(choice.values()))
            for choice in sources
        ]
        figure.add_trace(go.Bar(x=shares, y=labels, name=name, orientation="h"), row=1, col=2)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickformat=".0%", row=1, col=2)
    return figure.update_layout(
        barmode="stack",
        font={"family": "system-ui, sans-serif", "size": 14},
        height=160 + 40 * len(labels),
        margin={"l": 160},
    )


def write_picture(
    path: Path, labels: list[str], overlaps: list[list[float]], sources: list[dict[str, int]]
) -> None:
    """Write the chart as one self-contained page, atomically."""
    figure = comparison_figure(labels, overlaps, sources)
    files.write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
