"""Per-problem figures against a loop over rows, and the interval against its definition."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from learnalign.selecting.statistics.success_rates import group_reward_stats, jeffreys_interval
from learnalign.tables import ROLLOUTS, VERDICTS

kinds = st.sampled_from(["correct", "wrong", "unparsed_answer", "timed_out", "error"])


@st.composite
def groups(draw):
    """A pool of up to five problems: (finish reason, tokens, verdict, reward) a rollout."""
    pool = []
    for _ in range(draw(st.integers(1, 5))):
        group = []
        for _ in range(draw(st.integers(1, 6))):
            kind = draw(kinds)
            reward = {"correct": 1.0, "error": None}.get(kind, draw(st.sampled_from([0.0, 0.25])))
            reason = draw(st.sampled_from(["stop", "length"]))
            group.append((reason, draw(st.integers(0, 9)), kind, reward))
        pool.append(group)
    return pool


def tables(pool, shard):
    """Shards of `shard` problems."""
    result = []
    for start in range(0, len(pool), shard):
        rollouts, verdicts = [], []
        for i, group in enumerate(pool[start : start + shard], start):
            for g, (reason, tokens, kind, reward) in enumerate(group):
                key = {"problem_id": f"p{i}", "sample": g}
                rollouts.append(key | {"token_ids": [1] * tokens, "finish_reason": reason})
                verdicts.append(key | {"verdict": kind, "reward": reward})
        result.append(
            (
                pa.Table.from_pylist(rollouts, schema=ROLLOUTS),
                pa.Table.from_pylist(verdicts[::-1], schema=VERDICTS),
            )
        )
    return [r for r, _ in result], [v for _, v in result]


@given(groups(), st.integers(1, 3))
def test_equal_a_loop_over_rows(pool, shard):
    rows = group_reward_stats(*tables(pool, shard)).to_pylist()
    assert [row["problem_id"] for row in rows] == [f"p{i}" for i in range(len(pool))]
    for row, group in zip(rows, pool, strict=True):
        counted = [rollout for rollout in group if rollout[3] is not None]
        rewards = [rollout[3] for rollout in counted]
        assert row["num_rollouts"] == len(counted)
        assert row["num_truncated"] == sum(r[0] == "length" for r in counted)
        assert row["binary"] == all(r in (0.0, 1.0) for r in rewards)
        if not counted:
            assert row["success_rate"] is None
            continue
        assert row["num_correct"] == sum(r[2] == "correct" for r in counted)
        assert row["success_rate"] == pytest.approx(np.mean(rewards))
        assert row["reward_variance"] == pytest.approx(np.var(rewards), abs=1e-12)
        assert row["mean_response_tokens"] == pytest.approx(np.mean([r[1] for r in counted]))


def test_interval_holds_95_percent_of_the_posterior():
    for k in (1, 3, 7):
        low, high = jeffreys_interval([k], 8)
        density = lambda p, k=k: p ** (k - 0.5) * (1 - p) ** (7.5 - k)  # noqa: E731
        inside, _ = integrate.quad(density, float(low[0]), float(high[0]))
        assert inside / special.beta(k + 0.5, 8.5 - k) == pytest.approx(0.95, abs=1e-6)
