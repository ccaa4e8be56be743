"""Accuracies with their intervals, and two models compared problem by problem."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from learnalign.errors import LearnAlignError

_RESAMPLES = 10_000
_BLOCK = 256


@dataclass(frozen=True)
class Accuracy:
    """A mean over problems with its 95 % interval."""

    mean: float
    low: float
    high: float
    num_problems: int


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another, on the same problems."""

    mean: float
    low: float
    high: float
    """95 % interval of the mean, from a bootstrap over problems."""
    p_value: float
    """Two-sided: McNemar's exact test where scores are 0 or 1, else a permutation of signs."""
    better: int
    worse: int
    """Problems on which the score rose, and fell."""


def accuracy(scores: ArrayLike) -> Accuracy:
    """Average the problems' scores.

    Args:
        scores: (n,) mean reward of each problem's rollouts. Where all are 0 or 1 (one rollout a
            problem) the interval is Jeffreys'; else Student's over problems, cut to [0, 1] where
            the scores are. Rollouts of one problem are no independent trials; problems are.

    Raises:
        LearnAlignError: for no scores.

    Example:
        >>> found = accuracy([1, 0, 1, 1])
        >>> found.mean, round(found.low, 3), round(found.high, 3), found.num_problems
        (0.75, 0.284, 0.972, 4)
    """
    values = np.asarray(scores, dtype=np.float64)
    count = len(values)
    if count == 0:
        raise LearnAlignError(
            "got no problem to average over",
            expected="at least one that could be judged",
            do="look at the excluded problems for the reason",
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
        scores: (n,) scores of the one.
        others: (n,) scores of the other, problem by problem.
        seed: Of the resamples.

    Example:
        >>> found = difference([1, 1, 1, 0, 1, 1], [0, 0, 0, 0, 1, 0])
        >>> found.better, found.worse, round(found.mean, 3), found.p_value
        (4, 0, 0.667, 0.125)
    """
    gaps = np.asarray(scores, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    if not len(gaps):
        raise LearnAlignError(
            "the two evaluations share no problem", expected="the same benchmark", do="check it"
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
    """Say how often random signs give a mean as far from 0."""
    extreme = total = 0
    for _ in range(-(-_RESAMPLES // _BLOCK)):
        signs = rng.choice([-1.0, 1.0], size=(_BLOCK, len(gaps)))
        extreme += int((np.abs((signs * gaps).mean(axis=1)) >= abs(gaps.mean()) - 1e-12).sum())
        total += _BLOCK
    return (extreme + 1) / (total + 1)
