"""Checks of what curricula are made with: numbers in their ranges, switches, known counts."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError


def require_whole(option: str, value: Any, *, at_least: int) -> int:
    """Return a whole number, as an int.

    Args:
        option: Its name, for the error.
        value: What was given.
        at_least: The smallest that is allowed.

    Raises:
        LearnAlignError: for anything else.

    Example:
        >>> require_whole("seed", 3, at_least=0)
        3
        >>> require_whole("seed", "3", at_least=0)
        Traceback (most recent call last):
            ...
        learnalign.errors.LearnAlignError: got seed = '3'
          expected: a whole number of at least 0
          to do: correct the option seed
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < at_least:
        raise _wrong(option, value, f"a whole number of at least {at_least}")
    return int(value)


def require_number(
    option: str, value: Any, *, at_most: float | None = None, above_0: bool = False
) -> float:
    """Return a finite number from 0 on, as a float.

    Args:
        option: Its name, for the error.
        value: What was given.
        at_most: The largest that is allowed.
        above_0: Whether 0 is too small.

    Raises:
        LearnAlignError: for anything else.

    Example:
        >>> require_number("discount", 1, at_most=1.0, above_0=True)
        1.0
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    highest = np.finfo(float).max if at_most is None else at_most
    if not number or not 0 <= value <= highest or (above_0 and value == 0):
        lowest = "above 0" if above_0 else "of at least 0"
        limit = "" if at_most is None else f" and at most {at_most:g}"
        raise _wrong(option, value, f"a number {lowest}{limit}")
    return float(value)


def require_shares(option: str, value: Any) -> tuple[float, float]:
    """Return two numbers from 0 to 1.

    Raises:
        LearnAlignError: for anything else.

    Example:
        >>> require_shares("exploration", [0.5, 1])
        (0.5, 1.0)
    """
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 2:
        raise _wrong(option, value, "two numbers from 0 to 1")
    first, second = (require_number(option, one, at_most=1.0) for one in value)
    return first, second


def require_numbers(option: str, value: Any) -> tuple[float, ...]:
    """Return one or more numbers above 0 and at most 1.

    Raises:
        LearnAlignError: for anything else.

    Example:
        >>> require_numbers("discounts", [1, 0.5])
        (1.0, 0.5)
    """
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        raise _wrong(option, value, "a list of numbers above 0 and at most 1")
    return tuple(require_number(option, one, at_most=1.0, above_0=True) for one in value)


def require_switch(option: str, value: Any) -> bool:
    """Return true or false.

    Raises:
        LearnAlignError: for anything else, such as 'yes'.

    Example:
        >>> require_switch("shuffled", False)
        False
    """
    if not isinstance(value, bool | np.bool_):
        raise _wrong(option, value, "true or false")
    return bool(value)


def known_counts(counts: ArrayLike | None, num_problems: int) -> NDArray[np.float64]:
    """Return (n, 2) successes and failures known before training; zeros for None.

    Raises:
        LearnAlignError: for another shape, or values that are not finite and non-negative.
    """
    if counts is None:
        return np.zeros((num_problems, 2))
    try:
        known = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError):
        known = np.zeros(0)
    if known.shape != (num_problems, 2) or not ((known >= 0) & np.isfinite(known)).all():
        shape = f" of shape {known.shape}" if known.size else ""
        raise LearnAlignError(
            f"got known counts{shape}",
            expected=f"non-negative successes and failures, of shape ({num_problems}, 2)",
            do="pass zeros for problems that nothing is known of",
        )
    return known


def _wrong(option: str, value: Any, expected: str) -> LearnAlignError:
    return LearnAlignError(
        f"got {option} = {value!r}", expected=expected, do=f"correct the option {option}"
    )
