"""Lists of assertions: AceCoder, open-instruct, and verl's ``assert_case``.

["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
{"assert_case": ["assert add(1, 2) == 3"], "inputs": [""], "outputs": [""]}

verl wants as many inputs and outputs beside the assertions, which override them.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.livecodebench import json_of
from learnalign.problems.suites.suite import (
    ScriptTest,
    Suite,
    UnreadableTestsError,
    are_asserts,
    content,
)

NAME = "assertions"
DATA_SETS = "AceCoder, open-instruct, verl (`assert_case`)"


def recognises(tests: Any) -> bool:
    """Return whether a value is a list of assertions, or an object that holds one."""
    return are_asserts(_asserts(tests)) or _is_packed(tests)


def read(tests: Any) -> Suite:
    """Read the assertions.

    Raises:
        UnreadableTestsError: for a pickle.

    Example:
        >>> read({"assert_case": ["assert f(1) == 2"]}).tests
        (ScriptTest(code='assert f(1) == 2'),)
    """
    if _is_packed(tests):
        tests = json_of(tests, "the column of tests")
    found = _asserts(tests)
    if not are_asserts(found):
        raise UnreadableTestsError("no list of assertions")
    name = tests.get("fn_name") if isinstance(tests, Mapping) else None
    return Suite(NAME, tuple(map(ScriptTest, found)), entry_point=name or None)


def _asserts(tests: Any) -> Any:
    return content(tests.get("assert_case")) if isinstance(tests, Mapping) else tests


def _is_packed(tests: Any) -> bool:
    """Return whether a value is compressed data as base64 text."""
    return isinstance(tests, str) and tests.startswith("eJ") and len(tests) > 32
