"""Whether an output or a returned value is the expected one, as the judges of contests decide."""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from learnalign.problems.suites.suite import CallTest

#: Numbers are equal up to this relative or absolute difference, where one of them has a fraction.
_TOLERANCE = 1e-6
#: Digits of a number that are read as one.
_DIGITS = 60
#: Items that are compared as a set; a `range` of any length is a short message.
_ITEMS = 10_000_000


def same_output(output: str, expected: str) -> bool:
    r"""Compare printed text line by line and word by word.

    White space at the end of a line, blank lines at the end, and the width of gaps do not matter;
    lines and case do. Numbers are compared as numbers, with a tolerance where the expected one has
    a fraction.

    Example:
        >>> same_output("1  2 \n\n", "1 2"), same_output("0.3333333", "0.33333331")
        (True, True)
        >>> same_output("3.0", "3"), same_output("1\n2", "1 2"), same_output("Yes", "YES")
        (True, False, False)
    """
    lines, wanted = _lines(output), _lines(expected)
    return len(lines) == len(wanted) and all(
        len(words) == len(others) and all(map(_same_word, words, others))
        for words, others in zip(lines, wanted, strict=True)
    )


def same_result(test: CallTest, value: Any, expected: Any) -> bool:
    """Compare what a call returned with an expected value, in the way that the test wants.

    Example:
        >>> same_result(CallTest((), (), rule="set"), [1, 2, 2], (2, 1))
        True
    """
    try:
        if test.rule == "set":
            return len(value) <= _ITEMS and set(value) == set(expected)
        if test.rule == "none":  # whether something was found
            return bool(value if isinstance(value, bool) else value is not None) == bool(
                expected if isinstance(expected, bool) else expected is not None
            )
        if test.rule == "root":  # of the polynomial in the first argument
            root = value if isinstance(value, complex) else float(value + 0)
            total = sum(c * root**i for i, c in enumerate(test.arguments[0]))
            return bool(abs(total) <= test.absolute)
    except Exception:  # other data than expected
        return False
    return same_value(value, expected, test.absolute)


def same_value(value: Any, expected: Any, absolute: float = 0.0) -> bool:
    """Compare returned data: tuples equal lists, numbers with a fraction have a tolerance.

    Expected values come from JSON, where keys of objects are text.

    Args:
        value: Plain data.
        expected: Plain data.
        absolute: Additional absolute tolerance of numbers with a fraction.

    Example:
        >>> same_value((1, [2.0000000001]), [1, [2]]), same_value(True, 1), same_value("1", 1)
        (True, True, False)
        >>> same_value({1: "a"}, {"1": "a"}), same_value({1, 2}, {2, 1}), same_value(None, 0)
        (True, True, False)
    """
    if isinstance(value, list | tuple) and isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(
            same_value(one, other, absolute) for one, other in zip(value, expected, strict=True)
        )
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        if value.keys() != expected.keys():
            value = {str(key): item for key, item in value.items()}
            expected = {str(key): item for key, item in expected.items()}
        return value.keys() == expected.keys() and all(
            same_value(value[key], expected[key], absolute) for key in value
        )
    if isinstance(value, float) or isinstance(expected, float):
        return _close(value, expected, absolute)
    try:
        return bool(value == expected)
    except Exception:  # data whose comparison fails are not equal
        return False


def _close(value: Any, expected: Any, absolute: float) -> bool:
    try:
        if math.isnan(value) and math.isnan(expected):
            return True
        return math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=max(absolute, 1e-9))
    except (TypeError, OverflowError):
        return False


def _lines(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.replace("\r\n", "\n").rstrip().split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_word(word: str, expected: str) -> bool:
    if word == expected:
        return True
    if max(len(word), len(expected)) > _DIGITS:
        return False
    try:
        one, other = Decimal(word), Decimal(expected)
        if one == other:
            return True
    except InvalidOperation:
        return False
    has_fraction = any(sign in expected for sign in ".eE")
    return has_fraction and math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
