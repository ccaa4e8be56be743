"""Stability of the selection: would other rollouts select the same problems? (bootstrap)"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learnalign.scoring.scores import reward_variance
from learnalign.selecting.candidates import Candidates

Floats = NDArray[np.float64]

DEFINITION = (
    "expected share of the selected problems that two selections have in common when each "
    "problem's rollouts are resampled with replacement for both; alignments change by amounts "
    "measured on resampled rollouts"
)


@dataclass(frozen=True)
class Stability:
    """How stable the selection is when the rollouts are resampled."""

    expected_overlap: float
    """Mean over pairs of resamples of |selected in both| / K, from 0 to 1.

    Optimistic for few rollouts: in a simulation by 0.13 with 4 rollouts per problem, by less than
    0.12 with 16 and 64 (`tests/selecting/statistics/test_stability.py`).
    """
    frequency: Floats
    """(n,) share of the resamples in which each problem is selected."""


def stability(
    choose: Callable[[Candidates], NDArray[np.int64]],
    candidates: Candidates,
    rewards: Floats,
    count: int,
    *,
    changes: Floats,
    num_bootstrap: int,
    seed: int,
) -> Stability:
    """Resample the rollouts and select again.

    Args:
        choose: Returns the (n,) indices of the problems, best first.
        candidates: The problems as they were ranked.
        rewards: (n, G) rewards, NaN where a rollout has none; at least two per row.
        count: K, the number of selected problems.
        changes: (m,) measured changes of alignment under resampling (`alignment_changes`); each
            problem with signal gets one of them at random. If empty, alignments do not change.
        num_bootstrap: Number of resamples, at least 2.
        seed: Seed of the resampling.

    Example:
        >>> rewards = np.array([[0.0, 1.0], [1.0, 1.0]])
        >>> pool = Candidates(np.array([0.25, 0]), np.array([0.5, 1]), np.zeros(2), np.zeros(2))
        >>> result = stability(lambda c: np.argsort(-c.learnability), pool, rewards, 1,
        ...                    changes=np.empty(0), num_bootstrap=100, seed=0)
        >>> result.frequency.sum()
        np.float64(1.0)
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(np.isnan(rewards), axis=1, kind="stable")
    filled = np.take_along_axis(rewards, order, axis=1)
    totals = (~np.isnan(rewards)).sum(axis=1)
    frequency = np.zeros(len(rewards))
    counted = np.arange(rewards.shape[1]) < totals[:, None]
    for _ in range(num_bootstrap):
        indices = (rng.random(rewards.shape) * totals[:, None]).astype(np.intp)
        sample = np.where(counted, np.take_along_axis(filled, indices, axis=1), 0.0)
        means = sample.sum(axis=1) / totals
        variances = np.where(counted, (sample - means[:, None]) ** 2, 0.0).sum(axis=1) / totals
        alignment = candidates.alignment
        if len(changes):
            alignment = alignment + rng.choice(changes, len(alignment))
        resampled = replace(
            candidates,
            learnability=reward_variance(variances),
            alignment=np.where(variances > 0.0, alignment, 0.0),
            success_rate=means,
        )
        frequency[choose(resampled)[:count]] += 1.0
    # Pairs of different resamples: the sum of f^2 minus the pairs of a resample with itself.
    times = frequency.copy()
    frequency /= max(1, num_bootstrap)
    pairs = (times * (times - 1.0)).sum() / max(1, num_bootstrap * (num_bootstrap - 1))
    return Stability(float(pairs / max(1, count)), frequency)
