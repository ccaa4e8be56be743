"""Selection rules over the success rates of an earlier training: arrays in, arrays out.

A history has a row a problem and a column an epoch; `learnalign.training.history` sums up a
training's rollouts so. Who scores by a whole history has trained already.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]


def limr(history: ArrayLike) -> Floats:
    """Score how closely each problem's learning curve follows the pool's (LIMR, arXiv 2502.11886).

    s_i = 1 - sum_e (r_ie - rbar_e)^2 / sum_e (1 - rbar_e)^2, where rbar_e is the mean over the
    problems read at epoch e, and both sums run over the epochs at which i was read. 1 is the pool's
    own curve, 0 a problem that is always right; there is no lower bound.

    LIMR's code fills a gap with the next epoch's rate and drops problems that still have one; here
    a gap just does not count. Where every rbar_e that counts is 1, both sums are 0: such a problem
    lies on the pool's curve, and scores 1 as any other that does.

    Args:
        history: (n, e) success rates in [0, 1], NaN where a problem has no reading.

    Returns:
        (n,) scores, at most 1; -inf for a problem without any reading.

    Raises:
        LearnAlignError: for another shape, or a rate outside [0, 1].

    Example:
        >>> limr([[0.0, 0.5], [1.0, 0.5], [0.5, np.nan]]).tolist()
        [0.5, 0.5, 1.0]
    """
    rates, read = _checked(history)
    mean = _sums(rates, read, axis=0) / np.maximum(1, read.sum(axis=0))
    gap = _sums((rates - mean) ** 2, read, axis=1)
    largest = _sums(np.broadcast_to((1.0 - mean) ** 2, rates.shape), read, axis=1)
    share = np.divide(gap, largest, out=np.zeros_like(gap), where=largest > 0.0)
    return np.where(read.any(axis=1), 1.0 - share, -np.inf)


def history_variance(history: ArrayLike) -> Floats:
    """Score how much each problem's success rate moved (one-shot RLVR, arXiv 2504.20571).

    The population variance over a problem's readings; that paper's code takes its square root,
    `np.std`, which ranks alike. The sample variance would too where all have as many readings.

    Args:
        history: (n, e) success rates in [0, 1], NaN where a problem has no reading.

    Returns:
        (n,) variances, at most 0.25; 0 for a single reading, -inf without any.

    Raises:
        LearnAlignError: for another shape, or a rate outside [0, 1].

    Example:
        >>> history_variance([[0.0, 1.0, np.nan], [0.5, 0.5, 0.5]]).tolist()
        [0.25, 0.0]
    """
    rates, read = _checked(history)
    count = np.maximum(1, read.sum(axis=1))
    mean = _sums(rates, read, axis=1) / count
    variance = _sums((rates - mean[:, None]) ** 2, read, axis=1) / count
    return np.where(read.any(axis=1), variance, -np.inf)


def _checked(history: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Give the rates and where there is one; (n, e) each."""
    rates = np.asarray(history, dtype=np.float64)
    if rates.ndim != 2:
        raise LearnAlignError(
            f"got a history of shape {rates.shape}",
            expected="success rates of shape (n, e): a row a problem, a column an epoch",
            do="fill up shorter rows with NaN",
        )
    read = ~np.isnan(rates)
    bad = read & ~((rates >= 0.0) & (rates <= 1.0))
    if bad.any():
        raise LearnAlignError(
            f"got the success rate {rates[bad][0]} in row {int(np.argwhere(bad)[0, 0])}",
            expected="shares of right rollouts, from 0 to 1, or NaN where there is no reading",
            do="divide each problem's right rollouts by all of its rollouts",
        )
    return rates, read


def _sums(values: Floats, read: NDArray[np.bool_], *, axis: int) -> Floats:
    return np.asarray(np.where(read, values, 0.0).sum(axis=axis))
