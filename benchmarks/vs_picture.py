"""The comparison as plots: accuracy by method, and accuracy against compute time."""

import statistics
from pathlib import Path

from plotly.subplots import make_subplots

from vs_tables import Row, Table, greedy, training_s


def draw(path: Path, table: Table, accuracies: list[Row], costs: list[Row]) -> None:
    """Write a self-contained HTML page.

    Args:
        path: Output file.
        table: The cells.
        accuracies: `vs_tables.accuracy_rows` of the main budget.
        costs: `vs_tables.cost_rows`.
    """
    rows = sorted(accuracies, key=lambda row: row["greedy"])
    figure = make_subplots(
        rows=1,
        cols=2,
        horizontal_spacing=0.12,
        subplot_titles=(
            "held-out accuracy at equal steps, 95 % over seeds",
            "held-out accuracy against processor seconds of selecting and training",
        ),
    )
    figure.add_scatter(
        x=[row["greedy"] for row in rows],
        y=[row["method"] for row in rows],
        error_x={
            "array": [row["high"] - row["greedy"] for row in rows],
            "arrayminus": [row["greedy"] - row["low"] for row in rows],
        },
        mode="markers",
        showlegend=False,
        row=1,
        col=1,
    )
    lengths = sorted({cell["steps"] for cell in table.cells if cell["method"] == "full"})
    figure.add_scatter(
        x=[statistics.mean(table.by_seed("full", training_s, steps=n).values()) for n in lengths],
        y=[statistics.mean(table.by_seed("full", greedy, steps=n).values()) for n in lengths],
        text=[f"{n} steps" for n in lengths],
        textposition="bottom center",
        mode="lines+markers+text",
        name="full",
        row=1,
        col=2,
    )
    seconds = {row["method"]: row["total"] for row in costs}
    others = [row for row in rows if row["method"] in seconds and row["method"] != "full"]
    figure.add_scatter(
        x=[seconds[row["method"]] for row in others],
        y=[row["greedy"] for row in others],
        hovertext=[row["method"] for row in others],
        mode="markers",
        name="selected, 40 steps",
        row=1,
        col=2,
    )
    figure.update_xaxes(title="greedy accuracy", row=1, col=1)
    figure.update_xaxes(title="processor seconds", row=1, col=2)
    figure.update_yaxes(title="greedy accuracy", row=1, col=2)
    figure.update_layout(width=1150, height=180 + 22 * len(rows), template="simple_white")
    figure.update_layout(legend={"orientation": "h", "x": 0.6, "y": -0.25})
    figure.write_html(path, include_plotlyjs=True)
