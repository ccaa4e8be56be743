"""The chart of a training by step: rewards, groups, cost without signal, coverage, calibration."""

from collections import Counter
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc
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


def cost_without_signal(steps: pa.Table, history: pa.Table) -> dict[str, list[float]]:
    """Sum up what groups without a signal cost: their rewards are all equal, nothing is learned.

    Args:
        steps: STEPS of a training.
        history: Its HISTORY.

    Returns:
        Lists with an entry per step: ``rollouts``, ``share`` of the step's rollouts, and
        ``seconds``, the same share by response tokens of the time for sampling and verifying.
    """
    table = history.append_column("tokens", pc.list_value_length(history["token_ids"]))
    groups = table.group_by(["step", "problem_id"]).aggregate(
        [("reward", "min"), ("reward", "max"), ("tokens", "sum"), ("sample", "count")]
    )
    rollouts, wasted = Counter[int](), Counter[int]()
    tokens, wasted_tokens = Counter[int](), Counter[int]()
    for row in groups.to_pylist():
        equal = row["reward_min"] == row["reward_max"]
        for total, part, value in (
            (rollouts, wasted, row["sample_count"]),
            (tokens, wasted_tokens, row["tokens_sum"] or 0),
        ):
            total[row["step"]] += value
            part[row["step"]] += value * equal
    cost: dict[str, list[float]] = {"rollouts": [], "share": [], "seconds": []}
    for row in steps.select(["step", "sampling_s", "verifying_s"]).to_pylist():
        step, elapsed_s = row["step"], (row["sampling_s"] or 0.0) + (row["verifying_s"] or 0.0)
        cost["rollouts"].append(float(wasted[step]))
        cost["share"].append(wasted[step] / max(1, rollouts[step]))
        cost["seconds"].append(elapsed_s * wasted_tokens[step] / max(1, tokens[step]))
    return cost


def calibration(history: pa.Table, bins: int = 10) -> dict[str, list[float]] | None:
    """Compare the success rates that a curriculum expected with those that came out.

    Args:
        history: HISTORY of a training.
        bins: Number of equal bins of the expected rate.

    Returns:
        For each bin with a group: the means ``expected`` and ``observed``, and ``groups``; None
        if the curriculum expected nothing.
    """
    known = history.filter(
        pc.and_(history["expected_success"].is_valid(), history["reward"].is_valid())
    )
    if not known.num_rows:
        return None
    groups = known.group_by(["step", "problem_id"]).aggregate(
        [("expected_success", "mean"), ("reward", "mean")]
    )
    expected = groups["expected_success_mean"].to_numpy()
    observed = groups["reward_mean"].to_numpy()
    index = np.minimum((expected * bins).astype(int), bins - 1)
    filled = [index == b for b in range(bins) if (index == b).any()]
    return {
        "expected": [float(expected[chosen].mean()) for chosen in filled],
        "observed": [float(observed[chosen].mean()) for chosen in filled],
        "groups": [float(chosen.sum()) for chosen in filled],
    }


def doubted(history: pa.Table, count: int = 15) -> list[tuple[str, float]]:
    """Return the problems whose gradients are most likely noise, by their last step.

    Args:
        history: HISTORY of a training.
        count: Number of problems, at most; only those with a chance of at least one half.
    """
    known = history.filter(history["noise"].is_valid()).sort_by("step")
    last = dict(zip(known["problem_id"].to_pylist(), known["noise"].to_pylist(), strict=True))
    found = [(name, chance) for name, chance in last.items() if chance >= 0.5]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]


def training_figure(steps: pa.Table, history: pa.Table) -> go.Figure:
    """Draw STEPS and HISTORY as stacked charts; a curriculum's calibration below them."""
    numbers = steps["step"].to_pylist()
    calibrated = calibration(history)
    titles = [
        "mean reward",
        "sampled groups",
        "rollouts without signal (share)",
        "problems sampled so far (share)",
        "response tokens",
        "gradient norm (unclipped)",
    ]
    extra = [] if calibrated is None else ["expected and observed success rate"]
    suspects = doubted(history)
    if suspects:
        extra.append("problems whose gradients do not agree with their own (chance of noise)")
    figure = make_subplots(
        rows=len(titles + extra), cols=1, vertical_spacing=0.05, subplot_titles=titles + extra
    )
    cost = cost_without_signal(steps, history)
    lines = {
        1: steps["mean_reward"].to_pylist(),
        3: cost["share"],
        4: steps["coverage"].to_pylist(),
        5: steps["mean_tokens"].to_pylist(),
        6: steps["gradient_norm"].to_pylist(),
    }
    for row, values in lines.items():
        line = go.Scatter(
            x=numbers, y=values, mode="lines+markers", showlegend=False, line_color="#0072B2"
        )
        figure.add_trace(line, row=row, col=1)
    counts = group_counts(history)
    for kind, colour in _GROUPS.items():
        bar = go.Bar(x=counts["step"], y=counts[kind], name=kind, marker_color=colour)
        figure.add_trace(bar, row=2, col=1)
    for row in range(1, len(titles) + 1):
        figure.update_xaxes(matches="x", title_text="step" if row == len(titles) else "", row=row)
    if calibrated is not None:
        _add_calibration(figure, calibrated, row=len(titles) + 1)
    if suspects:
        _add_suspects(figure, suspects, row=len(titles + extra))
    wasted, total = sum(cost["rollouts"]), history.num_rows
    return figure.update_layout(
        barmode="stack",
        height=220 * len(titles + extra) + 120,
        font={"family": "system-ui, sans-serif", "size": 13},
        title=f"{len(numbers)} steps; {wasted:,.0f} of {total:,} rollouts "
        f"({sum(cost['seconds']):,.0f} s) in groups without signal",
    )


def _add_calibration(figure: go.Figure, calibrated: dict[str, list[float]], *, row: int) -> None:
    line = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": "#999999", "dash": "dot"},
        name="as expected", showlegend=False,
    )  # fmt: skip
    points = go.Scatter(
        x=calibrated["expected"], y=calibrated["observed"], mode="markers", showlegend=False,
        marker={"color": "#0072B2", "size": 9}, customdata=calibrated["groups"],
        hovertemplate="expected %{x:.2f}, observed %{y:.2f}, %{customdata:,} groups<extra></extra>",
    )  # fmt: skip
    for trace in (line, points):
        figure.add_trace(trace, row=row, col=1)
    figure.update_xaxes(title_text="expected by the curriculum", range=[0, 1], row=row, col=1)
    figure.update_yaxes(title_text="observed", range=[0, 1], row=row, col=1)


def _add_suspects(figure: go.Figure, suspects: list[tuple[str, float]], *, row: int) -> None:
    names, chances = zip(*reversed(suspects), strict=True)
    bar = go.Bar(
        x=chances, y=names, orientation="h", showlegend=False, marker_color="#D55E00"
    )  # fmt: skip
    figure.add_trace(bar, row=row, col=1)
    figure.update_xaxes(title_text="chance of noise", range=[0, 1], row=row, col=1)
    figure.update_yaxes(type="category", row=row, col=1)


def write_picture(path: Path, steps: pa.Table, history: pa.Table) -> None:
    """Write the chart as one self-contained page, atomically."""
    figure = training_figure(steps, history)
    files.write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
