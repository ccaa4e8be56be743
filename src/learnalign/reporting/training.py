"""The chart of a training: rewards, groups, response lengths and gradient norms by step."""

from pathlib import Path

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from learnalign.storage import files

_GROUPS = {
    "all right": "#56B4E9",
    "mixed": "#0072B2",
    "all wrong": "#D55E00",
}


def group_counts(history: pa.Table) -> dict[str, list[int]]:
    """Count the groups at each step whose rollouts are all right, mixed, or all wrong.

    Args:
        history: HISTORY of a training. A reward of 1 is right; rollouts without a reward are
            ignored.

    Returns:
        Lists of equal length: ``step``, and one list of counts for each kind.

    Example:
        >>> from learnalign.tables import HISTORY
        >>> rows = [{"step": 0, "problem_id": p, "reward": r} for p, r in [("a", 1.0), ("a", 0.0), ("b", 0.0)]]
        >>> group_counts(pa.Table.from_pylist(rows, schema=HISTORY))
        {'step': [0], 'all right': [0], 'mixed': [1], 'all wrong': [1]}
    """  # noqa: E501
    known = history.filter(history["reward"].is_valid())
    groups = known.group_by(["step", "problem_id"]).aggregate(
        [("reward", "min"), ("reward", "max")]
    )
    counts: dict[int, dict[str, int]] = {}
    for row in groups.to_pylist():
        low, high = row["reward_min"], row["reward_max"]
        kind = "mixed" if low < high else "all right" if low >= 1.0 else "all wrong"
        at_step = counts.setdefault(row["step"], dict.fromkeys(_GROUPS, 0))
        at_step[kind] += 1
    steps = sorted(counts)
    return {"step": steps} | {kind: [counts[s][kind] for s in steps] for kind in _GROUPS}


def training_figure(steps: pa.Table, history: pa.Table) -> go.Figure:
    """Draw STEPS and HISTORY as stacked charts with a shared step axis."""
    figure = make_subplots(
        rows=4, cols=1, shared_xaxes=True, vertical_spacing=0.06,
        subplot_titles=("mean reward", "groups", "response tokens", "gradient norm (unclipped)"),
    )  # fmt: skip
    numbers = steps["step"].to_pylist()
    for row, name in ((1, "mean_reward"), (3, "mean_tokens"), (4, "gradient_norm")):
        line = go.Scatter(
            x=numbers, y=steps[name].to_pylist(), mode="lines+markers", showlegend=False,
            line_color="#0072B2",
        )  # fmt: skip
        figure.add_trace(line, row=row, col=1)
    counts = group_counts(history)
    for kind, colour in _GROUPS.items():
        bar = go.Bar(x=counts["step"], y=counts[kind], name=kind, marker_color=colour)
        figure.add_trace(bar, row=2, col=1)
    figure.update_xaxes(title_text="step", row=4, col=1)
    return figure.update_layout(
        barmode="stack",
        height=900,
        font={"family": "system-ui, sans-serif", "size": 13},
        title=f"{len(numbers)} steps",
    )


def write_picture(path: Path, steps: pa.Table, history: pa.Table) -> None:
    """Write the chart as one self-contained page, atomically."""
    figure = training_figure(steps, history)
    files.write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
