"""The picture of a training shows what its tables say."""

import pyarrow as pa

from learnalign.reporting.training import group_counts, training_figure, write_picture
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
