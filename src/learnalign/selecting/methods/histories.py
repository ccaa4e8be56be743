"""Selection rules over the success rates of an earlier training run: arrays in, arrays out.

A history has a row per problem and a column per epoch; `learnalign.training.history` computes it
from a training run's rollouts. Scoring by a full history requires a finished training run.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]


def limr(history: ArrayLike) -> Floats:
    """Score how closely each problem's learning curve follows the pool's (LIMR, arXiv 2502.11886).

    s_i = 1 - sum_e (r_ie - rbar_e)^2 / sum_e (1 - rbar_e)^2, where rbar_e is the mean over the
    problems with a value at epoch e, and both sums run over the epochs at which i has one. The
    pool's own curve scores 1, a problem that is always right 0; there is no lower bound.

    LIMR's code fills a missing value with the next epoch's rate and drops problems that still have
    one; here missing values are ignored. If every rbar_e in the sums is 1, both are 0: such a
    problem follows the pool's curve exactly, and scores 1.

    Args:
        history: (n, e) success rates in [0, 1], NaN where a problem has no value.

    Returns:
        (n,) scores, at most 1; -inf for a problem without any value.

    Raises:
        LearnAlignError: if the shape is wrong, or a rate is outside [0, 1].

    Example:
        >>> limr([[0.0, 0.5], [1.0, 0.5], [0.5, np.nan]]).tolist()
        [0.5, 0.5, 1.0]
    """
    rates, known = _checked(history)
    mean = _sums(rates, known, axis=0) / np.maximum(1, known.sum(axis=0))
    gap = _sums((rates - mean) ** 2, known, axis=1)
    largest = _sums(np.broadcast_to((1.0 - mean) ** 2, rates.shape), known, axis=1)
    share = np.divide(gap, largest, out=np.zeros_like(gap), where=largest > 0.0)
    return np.where(known.any(axis=1), 1.0 - share, -np.inf)


def history_variance(history: ArrayLike) -> Floats:
    """Score how much each problem's success rate varied (one-shot RLVR, arXiv 2504.20571).

    The population variance over a problem's values; the paper's code uses its square root,
    `np.std`, which gives the same ranking. So does the sample variance if all have equally many.

    Args:
        history: (n, e) success rates in [0, 1], NaN where a problem has no value.

    Returns:
        (n,) variances, at most 0.25; 0 for a single value, -inf without any.

    Raises:
        LearnAlignError: if the shape is wrong, or a rate is outside [0, 1].

    Example:
        >>> history_variance([[0.0, 1.0, np.nan], [0.5, 0.5, 0.5]]).tolist()
        [0.25, 0.0]
    """
    rates, known = _checked(history)
    count = np.maximum(1, known.sum(axis=1))
    mean = _sums(rates, known, axis=1) / count
    variance = _sums((rates - mean[:, None]) ** 2, known, axis=1) / count
    return np.where(known.any(axis=1), variance, -np.inf)


def _checked(history: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Validate the rates; return them and a mask of the known ones, (n, e) each."""
    rates = np.asarray(history, dtype=np.float64)
    if rates.ndim != 2:
        raise LearnAlignError(
            f"got a history of shape {rates.shape}",
            expected="success rates of shape (n, e): a row per problem, a column per epoch",
            do="pad shorter rows with NaN",
        )
    known = ~np.isnan(rates)
    bad = known & ~((rates >= 0.0) & (rates <= 1.0))
    if bad.any():
        raise LearnAlignError(
            f"got the success rate {rates[bad][0]} in row {int(np.argwhere(bad)[0, 0])}",
            expected="shares of correct rollouts, from 0 to 1, or NaN for a missing value",
            do="divide each problem's correct rollouts by all of its rollouts",
        )
    return rates, known


def _sums(values: Floats, known: NDArray[np.bool_], *, axis: int) -> Floats:
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis))
