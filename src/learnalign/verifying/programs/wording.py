"""Tests and what a program did with them, in words."""

from typing import Any

from learnalign.problems.suites.suite import CallTest, InputTest, Test

_SHOWN = 200


class Other:
    """A value that is not plain data: it exists, and equals no other."""

    def __repr__(self) -> str:
        return "a value that is not plain data"


def shown(test: Test, name: str | None = None) -> str:
    """Return a test as a reader wants to see it.

    Example:
        >>> shown(CallTest((1, [2]), (3,)), "f"), shown(InputTest("1 2", "3"))
        ('f(1, [2])', "input '1 2'")
    """
    if isinstance(test, CallTest):
        return f"{name or 'call'}({', '.join(map(shortened, test.arguments))})"
    if isinstance(test, InputTest):
        return f"input {shortened(test.input)}"
    return shortened(test.code).strip("'\"") if "\n" not in test.code else ""


def shortened(value: Any) -> str:
    """Return a value as Python shows it, cut if it is long."""
    if isinstance(value, str) and len(value) > _SHOWN:
        value = value[:_SHOWN] + "…"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # too many digits, too many levels
        return "a value too large to be shown"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def raised_text(answer: list[Any]) -> str:
    """Describe the exception in an answer."""
    try:
        lineage, arguments = answer[1]
        return f"raised {lineage[0]}: {', '.join(map(shortened, arguments))}"[:_SHOWN]
    except (LookupError, TypeError, ValueError):
        return "raised an exception"
