"""Shares, groups and lengths of a sample, compared with counting by hand."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from learnalign.profiling.measures import MEASURED, measure


def table_of(rewards, **columns):
    """Give MEASURED for groups of rewards; other columns by name."""
    rows = [
        {
            "problem_id": f"p{i}",
            "num_rollouts": len(group),
            "num_sampled": len(group),
            "success_rate": float(np.mean(group)),
            "reward_variance": float(np.var(group)),
            "num_truncated": 0,
            "num_unread": 0,
            "prompt_tokens": 10,
            "response_tokens": 8,
            **{name: values[i] for name, values in columns.items()},
        }
        for i, group in enumerate(rewards)
    ]
    return pa.Table.from_pylist(rows, schema=MEASURED)


REWARDS = [[1, 1], [1, 0], [0, 0], [0, 0], [0.2, 0.2], [0.7, 0.7], [0.1, 0.9], [0, 0]]


def test_every_problem_is_of_one_kind():
    found = measure(table_of(REWARDS, num_unread=[0, 1, 2, 0, 0, 0, 0, 0], num_truncated=[1] * 8))
    assert [found.signal.count, found.solved.count, found.hopeless.count] == [2, 2, 4]
    assert found.success_rate == pytest.approx(np.mean([np.mean(group) for group in REWARDS]))
    assert (found.unread.count, found.unread.total, found.unread.share) == (3, 16, 3 / 16)
    assert (found.truncated.share, found.truncated.low) == (0.5, None)
    assert found.tokens == 4.0
    assert not found.groups  # all have the same source, difficulty and lengths


@pytest.mark.parametrize("count", [0, 3, 20])
def test_the_interval_is_jeffreys(count):
    found = measure(table_of([[1, 0]] * count + [[0, 0]] * (20 - count))).signal
    posterior = stats.beta(count + 0.5, 20 - count + 0.5)
    assert found.low == pytest.approx(posterior.ppf(0.025) if count else 0.0)
    assert found.high == pytest.approx(posterior.ppf(0.975) if count < 20 else 1.0)


def test_the_interval_holds_the_pools_share_in_19_of_20_samples():
    rng = np.random.default_rng(1)
    pool = rng.random(2000) < 0.3
    held = 0
    for _ in range(200):
        sample = rng.choice(pool, 100, replace=False)
        found = measure(table_of([[1, 0] if signal else [0, 0] for signal in sample])).signal
        held += found.low <= pool.mean() <= found.high
    assert held >= 180  # of 200; 190 expected, standard deviation 3


def test_groups_by_source_difficulty_and_length():
    sources = ["a", "b", "a", "b", "b", "b", "a", "b"]
    found = measure(
        table_of(
            REWARDS,
            source=sources,
            difficulty=[None, "1", None, "1", "1", "1", None, "1"],
            prompt_tokens=[10, 20, 30, 40, 50, 60, 1070, 1080],
        )
    )
    assert list(found.groups) == ["source", "difficulty", "prompt tokens"]
    assert [(g.name, g.problems, g.signal.count) for g in found.groups["source"]] == [
        ("b", 5, 1),
        ("a", 3, 1),
    ]
    rates = [np.mean(r) for r, s in zip(REWARDS, sources, strict=True) if s == "a"]
    assert found.groups["source"][1].success_rate == pytest.approx(np.mean(rates))
    assert [g.name for g in found.groups["difficulty"]] == ["1", "not given"]
    quarters = found.groups["prompt tokens"]
    assert [g.name for g in quarters] == ["10 to 20", "30 to 40", "50 to 60", "1,070 to 1,080"]
    assert [g.signal.count for g in quarters] == [1, 0, 0, 1]


def test_many_small_sources_are_joined():
    names = [f"s{i}" for i in range(20)]
    found = measure(table_of([[1, 0]] * 21, source=[*names, "s7"])).groups["source"]
    assert (found[0].name, found[0].problems) == ("s7", 2)
    assert (found[-1].name, found[-1].problems, len(found)) == ("others", 9, 12)
    assert sum(group.problems for group in found) == 21
