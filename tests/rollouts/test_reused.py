"""Rollouts of a training's last steps: the latest whole group of each problem, in order."""

import pyarrow as pa
import pytest

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


class NoEngine(Engine):
    """Is never asked."""

    def sample(self, problems, progress=None, *, samples=None):
        raise AssertionError("sampled")


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
    assert found.schema == ROLLOUTS
    rows = {(row["problem_id"], row["sample"], row["completion"]) for row in found.to_pylist()}
    assert len(rows) == found.num_rows
    assert rows == {(n, g, f"{n}{g}@{step}") for n, step in expected.items() for g in range(2)}


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
    assert engine.counts == fresh.counts == {"reused": 4}


def test_a_round_gets_its_samples():
    engine = ReusedEngine(recent_groups(history(STEPS), steps=9, num_rollouts=2), NoEngine())
    pool = pa.Table.from_pylist([{"problem_id": n} for n in "ba"], schema=PROBLEMS)
    for samples in (range(1), range(1, 2), None):
        rows = engine.sample(pool, samples=samples).to_pylist()
        wanted = samples or range(2)
        step = {"a": 0, "b": 5}
        assert [row["completion"] for row in rows] == [
            f"{name}{g}@{step[name]}" for name in "ba" for g in wanted
        ]
