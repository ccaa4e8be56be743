"""Accuracy with confidence intervals, and paired comparison of two models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from learnalign.errors import LearnAlignError

_RESAMPLES = 10_000
_BLOCK = 256


@dataclass(frozen=True)
class Accuracy:
    """A mean over problems with a 95 % interval."""

    mean: float
    low: float
    high: float
    num_problems: int


@dataclass(frozen=True)
class Difference:
    """The difference between two models on the same problems."""

    mean: float
    low: float
    high: float
    """95 % interval of the mean, from a bootstrap over problems."""
    p_value: float
    """Two-sided: McNemar's exact test if all scores are 0 or 1, else a sign-flip test."""
    better: int
    worse: int
    """Number of problems whose score rose (better) or fell (worse)."""


def accuracy(scores: ArrayLike) -> Accuracy:
    """Average the problems' scores.

    Args:
        scores: (n,) mean reward of each problem's rollouts. If all are 0 or 1 (one rollout per
            problem), the interval is Jeffreys'; else Student's t over problems, clipped to [0, 1]
            if all scores are within it. Problems are independent trials; rollouts of one problem
            are not.

    Raises:
        LearnAlignError: if there are no scores.

    Example:
        >>> result = accuracy([1, 0, 1, 1])
        >>> result.mean, round(result.low, 3), round(result.high, 3), result.num_problems
        (0.75, 0.284, 0.972, 4)
    """
    values = np.asarray(scores, dtype=np.float64)
    count = len(values)
    if count == 0:
        raise LearnAlignError(
            "got no problems to average over",
            expected="at least one problem that can be judged",
            do="look at the excluded problems for the reasons",
        )
    mean = float(values.mean())
    if np.isin(values, (0.0, 1.0)).all():
        correct = values.sum()
        posterior = stats.beta(correct + 0.5, count - correct + 0.5)
        low = 0.0 if correct == 0 else float(posterior.ppf(0.025))
        high = 1.0 if correct == count else float(posterior.ppf(0.975))
        return Accuracy(mean, low, high, count)
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    low, high = mean - half, mean + half
    if values.min() >= 0.0 and values.max() <= 1.0:
        low, high = max(0.0, low), min(1.0, high)
    return Accuracy(mean, low, high, count)


def difference(scores: ArrayLike, others: ArrayLike, *, seed: int = 0) -> Difference:
    """Compare two models on the same problems.

    Args:
        scores: (n,) scores of the first model.
        others: (n,) scores of the second model on the same problems.
        seed: Seed of the resamples.

    Example:
        >>> result = difference([1, 1, 1, 0, 1, 1], [0, 0, 0, 0, 1, 0])
        >>> result.better, result.worse, round(result.mean, 3), result.p_value
        (4, 0, 0.667, 0.125)
    """
    gaps = np.asarray(scores, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    if not len(gaps):
        raise LearnAlignError(
            "the two evaluations have no problems in common",
            expected="evaluations on the same benchmark",
            do="check the benchmarks",
        )
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    rng = np.random.default_rng(seed)
    means = np.concatenate([
        gaps[rng.integers(len(gaps), size=(_BLOCK, len(gaps)))].mean(axis=1)
        for _ in range(-(-_RESAMPLES // _BLOCK))
    ])  # fmt: skip
    low, high = np.quantile(means, (0.025, 0.975))
    if np.isin(gaps, (-1.0, 0.0, 1.0)).all():
        total = better + worse
        p_value = float(stats.binomtest(better, total).pvalue) if total else 1.0
    else:
        p_value = _sign_flips(gaps, rng)
    return Difference(float(gaps.mean()), float(low), float(high), p_value, better, worse)


def _sign_flips(gaps: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the share of random sign flips whose mean is at least as far from 0."""
    extreme = total = 0
    for _ in range(-(-_RESAMPLES // _BLOCK)):
        signs = rng.choice([-1.0, 1.0], size=(_BLOCK, len(gaps)))
        extreme += int((np.abs((signs * gaps).mean(axis=1)) >= abs(gaps.mean()) - 1e-12).sum())
        total += _BLOCK
    return (extreme + 1) / (total + 1)
