"""Learnability, alignment and the LearnAlign score of problems: arrays in, arrays out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]
_CHUNK = 4096


@dataclass(frozen=True)
class Scores:
    """The score of each problem with its two factors, each float64 of shape (n,)."""

    learnability: Floats
    alignment: Floats
    score: Floats


def learnability(
    success_rates: ArrayLike,
    *,
    estimator: Literal["plugin", "unbiased"] = "plugin",
    num_rollouts: ArrayLike | None = None,
) -> Floats:
    """Compute p(1 - p), how much there is to learn from a problem.

    Args:
        success_rates: (n,) share of correct rollouts, in [0, 1].
        estimator: ``plugin`` is p(1-p) as in the paper (arXiv 2506.11480); its expectation is
            (G-1)/G of the true value. ``unbiased`` multiplies by G/(G-1).
        num_rollouts: (n,) or scalar G, at least 2; needed by ``unbiased``.

    Raises:
        LearnAlignError: if a rate is NaN or outside [0, 1], or G is missing or below 2.

    Example:
        >>> learnability([0.0, 0.5, 1.0]).tolist()
        [0.0, 0.25, 0.0]
        >>> learnability([0.5], estimator="unbiased", num_rollouts=2).tolist()
        [0.5]
    """
    rates = np.asarray(success_rates, dtype=np.float64)
    bad = ~((rates >= 0.0) & (rates <= 1.0))
    if bad.any():
        raise LearnAlignError(
            f"got the success rate {rates[bad][0]}",
            expected="shares of correct rollouts, from 0 to 1",
            do="for rewards other than 0 and 1, use `reward_variance`",
        )
    values = rates * (1.0 - rates)
    return values if estimator == "plugin" else values * _bessel(num_rollouts)


def reward_variance(
    variances: ArrayLike,
    *,
    estimator: Literal["plugin", "unbiased"] = "plugin",
    num_rollouts: ArrayLike | None = None,
) -> Floats:
    """Compute the learnability for real-valued rewards: their variance, in place of p(1-p).

    Args:
        variances: (n,) population variances (divided by G) of the groups' rewards.
        estimator: ``plugin`` or ``unbiased``, as in `learnability`.
        num_rollouts: (n,) or scalar G, needed by ``unbiased``.

    Example:
        >>> reward_variance([np.var([0.2, 0.8])]).round(2).tolist()
        [0.09]
    """
    values = np.asarray(variances, dtype=np.float64)
    return values.copy() if estimator == "plugin" else values * _bessel(num_rollouts)


def unit_rows(features: NDArray[np.floating]) -> Floats:
    """Divide each row by its norm; a zero row stays zero.

    Args:
        features: (n, d) rows of any float dtype; computed in float64.

    Example:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = np.asarray(features, dtype=np.float64)
    # Scale by the largest entry first, so that a tiny or huge row keeps its direction.
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0.0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0.0)
    return unit


def scores(
    success_rates: ArrayLike,
    features: ArrayLike,
    *,
    target: ArrayLike | None = None,
    estimator: Literal["plugin", "unbiased"] = "plugin",
    num_rollouts: ArrayLike | None = None,
) -> Scores:
    """Score problems from their success rates and gradients, in time linear in n.

    The score of problem i is the mean over all j (itself included) of V_i V_j cos(i, j), which is
    V_i times the unit gradient of i times the mean of z_j = V_j unit(gradient j)
    (arXiv 2506.11480, the score; here in its linear form).

    Args:
        success_rates: (n,) shares in [0, 1].
        features: (n, d) gradients or their sketches; only their directions matter.
        target: (n,) booleans, the problems to align to; None for the whole pool.
        estimator: Estimator of the learnability, ``plugin`` or ``unbiased``.
        num_rollouts: (n,) or scalar G, needed by ``unbiased``.

    Raises:
        LearnAlignError: if shapes do not match, values are not finite, or the target is empty.

    Example:
        >>> result = scores([0.5, 0.5, 1.0], [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> result.score.round(4).tolist()
        [0.0356, 0.0356, 0.0]
    """
    rows = np.asarray(features)
    values = learnability(success_rates, estimator=estimator, num_rollouts=num_rollouts)
    if rows.ndim != 2 or values.ndim != 1 or len(rows) != len(values):
        raise LearnAlignError(
            f"got {values.shape} success rates and features of shape {rows.shape}",
            expected="success rates of shape (n,) and features of shape (n, d)",
            do="pass one row of features per problem",
        )
    chosen = np.ones(len(values), bool) if target is None else np.asarray(target, dtype=bool)
    if chosen.shape != values.shape or (len(values) and not chosen.any()):
        raise LearnAlignError(
            f"got a target of shape {chosen.shape} with {int(chosen.sum())} problems",
            expected=f"booleans of shape {values.shape}, at least one of them true",
            do="pass None to align to the whole pool",
        )
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        if not np.isfinite(rows[part]).all():
            raise LearnAlignError(
                f"got NaN or Inf in the features of rows {start} to {start + _CHUNK - 1}",
                expected="finite numbers",
                do="leave those problems out",
            )
        total += (values[part] * chosen[part]) @ unit_rows(rows[part])
    mean = total / max(1, int(chosen.sum()))
    alignment = np.concatenate(
        [np.empty(0)]
        + [unit_rows(rows[s : s + _CHUNK]) @ mean for s in range(0, len(rows), _CHUNK)]
    )
    alignment = np.where(values > 0.0, alignment, 0.0)
    return Scores(values, alignment, values * alignment)


def _bessel(num_rollouts: ArrayLike | None) -> Floats:
    counts = np.asarray(0 if num_rollouts is None else num_rollouts, dtype=np.float64)
    if (counts < 2).any():
        raise LearnAlignError(
            f"got num_rollouts = {num_rollouts!r}",
            expected="at least 2 rollouts per problem for the unbiased estimate",
            do="pass the number of rollouts, or use estimator='plugin'",
        )
    return np.asarray(counts / (counts - 1.0))
