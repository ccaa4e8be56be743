"""What a curriculum is shown, as arrays: outcomes and sketches of distinct problems, checked."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from learnalign.errors import LearnAlignError

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


class Observed(NamedTuple):
    """The outcomes of k distinct problems; the fields are (k,)."""

    indices: Indices
    successes: Floats
    num_rollouts: Floats
    has_signal: Booleans


def outcomes(
    num_problems: int,
    indices: ArrayLike,
    successes: ArrayLike,
    num_rollouts: ArrayLike,
    has_signal: ArrayLike | None,
) -> Observed:
    """Check the arguments of `Curriculum.observe`.

    Raises:
        LearnAlignError: if there is not one outcome for each of some distinct problems, or the
            successes are not from 0 to the number of rollouts.

    Example:
        >>> outcomes(3, [0, 2], [1, 8], 8, None).has_signal.tolist()
        [True, False]
    """
    places = _indices(indices)
    sums = _array(successes, np.float64, "successes")
    counts = _array(num_rollouts, np.float64, "num_rollouts")
    if counts.ndim == 0:
        counts = np.full(sums.shape, counts)
    signal = None if has_signal is None else _array(has_signal, np.bool_, "has_signal")
    for name, values in (("successes", sums), ("num_rollouts", counts), ("has_signal", signal)):
        if values is not None and values.shape != places.shape:
            raise _not_one_each(num_problems, name, values.shape, places)
    if not _distinct(places, num_problems):
        raise _not_one_each(num_problems, "successes", sums.shape, places)
    bad = ~((sums >= 0) & (sums <= counts + 1e-9) & np.isfinite(counts))
    if bad.any():
        raise LearnAlignError(
            f"got {sums[bad][0]} successes in {counts[bad][0]} rollouts",
            expected="a sum of rewards in [0, 1], so from 0 to the number of rollouts",
            do="scale the rewards to [0, 1]",
        )
    if signal is None:
        signal = (sums > 0) & (sums < counts)
    return Observed(places, sums, counts, signal)


def gradients(num_problems: int, indices: ArrayLike, sketches: ArrayLike) -> tuple[Indices, Floats]:
    """Check the arguments of `Curriculum.observe_gradients`.

    Raises:
        LearnAlignError: if there is not one finite sketch for each of some distinct problems.

    Example:
        >>> gradients(3, [2], [[0.5, 1.0]])[1].shape
        (1, 2)
    """
    places, rows = _indices(indices), _array(sketches, np.float64, "sketches")
    if rows.ndim != 2 or len(rows) != len(places) or not _distinct(places, num_problems):
        raise _not_one_each(num_problems, "sketches", rows.shape, places)
    if not np.isfinite(rows).all():
        raise LearnAlignError(
            "got a sketch that contains NaN or Inf",
            expected="finite gradients",
            do="leave out problems without a gradient",
        )
    return places, rows


def _indices(values: ArrayLike) -> Indices:
    """Return whole numbers, (k,); numpy would truncate others."""
    found = _array(values, None, "indices").reshape(-1)
    if found.size and found.dtype.kind not in "iu":
        raise LearnAlignError(
            f"got the indices {found[:8].tolist()}",
            expected="whole numbers",
            do="pass the indices of `next_batch`",
        )
    whole: Indices = found.astype(np.int64)
    return whole


def _array(values: ArrayLike, dtype: DTypeLike | None, name: str) -> Any:
    try:
        return np.array(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise LearnAlignError(
            f"got {name} of which numpy makes no array: {error}",
            expected="numbers, one for each problem",
            do="pass 0 rollouts for a problem without rewards",
        ) from error


def _distinct(indices: Indices, num_problems: int) -> bool:
    inside = ((indices >= 0) & (indices < num_problems)).all()
    return bool(inside) and len(np.unique(indices)) == len(indices)


def _not_one_each(
    num_problems: int, name: str, shape: tuple[int, ...], indices: Indices
) -> LearnAlignError:
    return LearnAlignError(
        f"got {name} of shape {shape} for the problems {indices[:8].tolist()}",
        expected=f"one for each of some distinct indices from 0 to {num_problems - 1}",
        do="pass the indices of `next_batch`, without duplicates, and one value or row for each",
    )
