"""The picture of a training shows what its tables say."""

import pyarrow as pa

from learnalign.reporting.training import (
    calibration,
    cost_without_signal,
    doubted,
    group_counts,
    training_figure,
    write_picture,
)
from learnalign.tables import HISTORY, STEPS

ROWS = [
    ("a", 0, [1.0, 1.0]),
    ("b", 0, [1.0, 0.0]),
    ("c", 1, [0.0, 0.0]),
    ("d", 1, [None, 0.0]),
    ("e", 1, [0.3, 0.3]),
]
HISTORY_TABLE = pa.Table.from_pylist(
    [
        {"step": step, "problem_id": name, "sample": g, "reward": reward}
        for name, step, rewards in ROWS
        for g, reward in enumerate(rewards)
    ],
    schema=HISTORY,
)
STEPS_TABLE = pa.Table.from_pylist(
    [{"step": s, "mean_reward": s / 4, "mean_tokens": 5.0, "gradient_norm": 1.0} for s in range(2)],
    schema=STEPS,
)


def test_groups_are_counted_by_what_they_teach():
    assert group_counts(HISTORY_TABLE) == {
        "step": [0, 1], "all right": [1, 0], "mixed": [1, 0], "all wrong": [0, 3],
    }  # fmt: skip


def test_figure_and_page(tmp_path):
    figure = training_figure(STEPS_TABLE, HISTORY_TABLE)
    bars = {trace.name: list(trace.y) for trace in figure.data if trace.type == "bar"}
    assert bars == {"all right": [1, 0], "mixed": [1, 0], "all wrong": [0, 3]}
    assert list(figure.data[0].y) == [0.0, 0.25]
    write_picture(tmp_path / "t.html", STEPS_TABLE, HISTORY_TABLE)
    assert (tmp_path / "t.html").stat().st_size > 1_000_000


def test_cost_of_groups_without_signal():
    """Step 0: a (equal) has 2 of 4 rollouts and 6 of 10 tokens; step 1: all three are equal."""
    rows = [
        {"step": step, "problem_id": name, "sample": g, "reward": reward, "token_ids": [0] * size}
        for (name, step, rewards), size in zip(ROWS, (3, 2, 1, 1, 1), strict=True)
        for g, reward in enumerate(rewards)
    ]
    history = pa.Table.from_pylist(rows, schema=HISTORY)
    times = [{"step": s, "sampling_s": 8.0, "verifying_s": 2.0} for s in range(2)]
    cost = cost_without_signal(pa.Table.from_pylist(times, schema=STEPS), history)
    assert cost == {"rollouts": [2.0, 6.0], "share": [0.5, 1.0], "seconds": [6.0, 10.0]}


def test_calibration_by_hand():
    rows = [
        {"step": s, "problem_id": name, "sample": g, "reward": reward, "expected_success": rate}
        for s, name, rate, rewards in [
            (0, "a", 0.12, [0.0, 1.0]),
            (0, "b", 0.18, [0.0, 0.0]),
            (1, "a", 1.0, [1.0, 1.0]),
            (1, "c", None, [1.0, 1.0]),
        ]
        for g, reward in enumerate(rewards)
    ]
    found = calibration(pa.Table.from_pylist(rows, schema=HISTORY))
    assert found == {"expected": [0.15, 1.0], "observed": [0.25, 1.0], "groups": [2.0, 1.0]}
    assert calibration(HISTORY_TABLE) is None
    figure = training_figure(STEPS_TABLE, pa.Table.from_pylist(rows, schema=HISTORY))
    (points,) = (t for t in figure.data if t.type == "scatter" and t.mode == "markers")
    assert list(points.y) == [0.25, 1.0]


def test_doubted_problems_by_hand():
    """By the last step of each; below one half nobody is doubted."""
    steps = [(0, "a", 0.9), (1, "a", 0.6), (0, "b", 0.8), (1, "c", 0.4), (2, "d", None)]
    rows = [
        {"step": s, "problem_id": name, "sample": g, "reward": float(g), "noise": chance}
        for s, name, chance in steps
        for g in range(2)
    ]
    history = pa.Table.from_pylist(rows, schema=HISTORY)
    assert doubted(history) == [("b", 0.8), ("a", 0.6)]
    assert doubted(history, count=1) == [("b", 0.8)]
    assert doubted(HISTORY_TABLE) == []
    (bar,) = (t for t in training_figure(STEPS_TABLE, history).data if t.orientation == "h")
    assert list(bar.y) == ["a", "b"]
