"""The tests of a code problem as a reader wants to see them."""

from learnalign.problems.suites.registry import is_tests, read_suite
from learnalign.problems.suites.suite import (
    CallTest,
    InputTest,
    Test,
    UnreadableTestsError,
)


def shown_gold(gold: str) -> str:
    """Return a gold for a reader: the tests one below the other; other golds are unchanged.

    Example:
        >>> print(shown_gold('["assert f(1) == 2", "assert f(2) == 4"]'))
        assert f(1) == 2
        assert f(2) == 4
        >>> print(shown_gold('{"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}'))
        add(1, 2) == 3
        >>> shown_gold("12")
        '12'
    """
    if not is_tests(gold):
        return gold
    try:
        suite = read_suite(gold)
    except UnreadableTestsError as error:
        return f"unreadable tests: {error}"
    return "\n".join(_shown(test, suite.entry_point or "f") for test in suite.tests)


def _shown(test: Test, name: str) -> str:
    if isinstance(test, InputTest):
        return f"input {test.input!r} -> output {test.output!r}"
    if not isinstance(test, CallTest):
        return test.code
    call = f"{name}({', '.join(map(repr, test.arguments))})"
    return f"{call} == {test.expected[0]!r}" if test.expected else f"{call} as the reference"
