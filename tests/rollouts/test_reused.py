"""Rollouts of a training's last steps: the latest whole group of each problem, in order."""

import pyarrow as pa
import pytest

from learnalign.config import RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.pipeline.success_histories import reused_groups
from learnalign.rollouts.engine import Engine
from learnalign.rollouts.reused import ReusedEngine, recent_groups
from learnalign.tables import HISTORY, PROBLEMS, ROLLOUTS


def history(steps):
    """Give shards of HISTORY: at each step, some problems with some samples."""
    tables = []
    for step, problems in steps.items():
        rows = [
            {
                "step": step,
                "problem_id": name,
                "sample": g,
                "completion": f"{name}{g}@{step}",
                "reward": 1.0,
            }
            for name, count in problems.items()
            for g in range(count)
        ]
        tables.append(pa.Table.from_pylist(rows, schema=HISTORY))
    return lambda: tables


STEPS = {0: {"a": 2, "b": 2}, 5: {"b": 2, "c": 2}, 6: {"d": 1, "e": 3}, 7: {"c": 2}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, {"c": 7}),
        (2, {"c": 7, "e": 6}),
        (3, {"b": 5, "c": 7, "e": 6}),
        (9, {"a": 0, "b": 5, "c": 7, "e": 6}),
    ],
)
def test_the_latest_whole_group_counts(steps, expected):
    found = recent_groups(history(STEPS), steps=steps, num_rollouts=2)
    assert {
        name: int(group[0]["completion"].split("@")[1]) for name, group in found.items()
    } == expected
    assert all([row["sample"] for row in group] == [0, 1] for group in found.values())


def test_the_others_are_sampled_and_the_order_is_the_pools():
    class Fresh(Engine):
        def __init__(self):
            super().__init__()
            self.failures.append(("x", "nonfinite_logits", ""))

        def sample(self, problems, progress=None, *, samples=None):
            self.asked = problems["problem_id"].to_pylist()
            progress(len(self.asked))
            rows = [
                {"problem_id": n, "sample": g, "completion": "fresh"}
                for n in self.asked
                for g in range(2)
            ]
            return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    fresh, done = Fresh(), []
    engine = ReusedEngine(recent_groups(history(STEPS), steps=3, num_rollouts=2), fresh)
    pool = pa.Table.from_pylist([{"problem_id": n} for n in "zcab"], schema=PROBLEMS)
    table = engine.sample(pool, done.append)
    assert fresh.asked == ["z", "a"]
    assert done == [2, 2]
    assert table["problem_id"].to_pylist() == list("zzccaabb")
    assert table["completion"].to_pylist() == [
        "fresh", "fresh", "c0@7", "c1@7", "fresh", "fresh", "b0@5", "b1@5"
    ]  # fmt: skip
    assert table.schema == ROLLOUTS
    assert engine.failures == fresh.failures


def test_no_history_says_so(tmp_path):
    with pytest.raises(LearnAlignError, match="has no history of a training"):
        reused_groups(RolloutConfig(reuse=tmp_path))
