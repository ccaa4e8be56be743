"""The stability figure against the truth: what fresh rollouts of the same problems would choose."""

import numpy as np
import pytest

from learnalign.selecting.candidates import Candidates
from learnalign.selecting.methods.rewards import learnability
from learnalign.selecting.order import ranking
from learnalign.selecting.statistics.stability import stability


def _candidates(rewards, ties):
    rates = rewards.mean(1)
    return Candidates(rates * (1 - rates), rates, ties, np.zeros(len(rates)))


def by_learnability(pool):
    return ranking(learnability(pool), pool.tie_breaks)


@pytest.mark.parametrize("group", [4, 16, 64])
def test_near_the_overlap_of_fresh_rollouts(group):
    rng = np.random.default_rng(group)
    rates, ties, count = rng.random(400), rng.random(400), 80
    estimates, truths = [], []
    for seed in range(6):
        rewards = (rng.random((400, group)) < rates[:, None]).astype(float)
        pool = _candidates(rewards, ties)
        first = set(ranking(learnability(pool), ties)[:count].tolist())
        for _ in range(10):
            fresh = (rng.random((400, group)) < rates[:, None]).astype(float)
            again = ranking(learnability(_candidates(fresh, ties)), ties)[:count]
            truths.append(len(first & set(again.tolist())) / count)
        found = stability(
            by_learnability, pool, rewards, count, changes=np.empty(0), num_bootstrap=40, seed=seed
        )
        estimates.append(found.expected_overlap)
    assert np.mean(estimates) == pytest.approx(np.mean(truths), abs=0.12 if group > 4 else 0.15)


def test_rollouts_without_reward_are_not_drawn():
    rewards = np.array([[1.0, np.nan, 1.0, np.nan], [0.0, 1.0, 0.0, 1.0], [np.nan, 0.0, 0.0, 0.0]])
    pool = Candidates(
        learnability=np.array([0.0, 0.25, 0.0]),
        success_rate=np.array([1, 0.5, 0]),
        tie_breaks=np.zeros(3),
        alignment=np.zeros(3),
    )
    found = stability(
        by_learnability, pool, rewards, 1, changes=np.empty(0), num_bootstrap=300, seed=0
    )
    # Problem 1 has no signal in a resample when all four draws agree: 2 of 16 times, and then a
    # tie among three decides.
    assert found.frequency[1] == pytest.approx(14 / 16, abs=0.13)
    assert found.frequency.sum() == pytest.approx(1.0)
