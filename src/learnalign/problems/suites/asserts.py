"""Lists of assertions: AceCoder, open-instruct, and verl's ``assert_case``.

["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
assert add(1, 2) == 3; assert add(0, 0) == 0                                  one text
{"assert_case": ["assert add(1, 2) == 3"], "inputs": [""], "outputs": [""]}

verl wants as many inputs and outputs beside the assertions, which override them.
"""

import ast
from collections.abc import Mapping
from typing import Any

from learnalign.problems.nested import empty
from learnalign.problems.suites.livecodebench import json_of
from learnalign.problems.suites.suite import (
    ScriptTest,
    Suite,
    UnreadableTestsError,
    content,
    statements,
)

NAME = "assertions"
DATA_SETS = "AceCoder, open-instruct, verl (`assert_case`)"
_SETUP = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


def recognises(tests: Any) -> bool:
    """Return whether a value is assertions, or an object that holds them."""
    return bool(assertions_of(tests)) or _is_packed(tests)


def read(tests: Any) -> Suite:
    r"""Read the assertions.

    Raises:
        UnreadableTestsError: for a pickle.

    Example:
        >>> read({"assert_case": ["assert f(1) == 2"]}).tests
        (ScriptTest(code='assert f(1) == 2'),)
        >>> read("import math\nassert f(1) == 2\nassert f(2) == math.pi").tests[1]
        ScriptTest(code='import math\nassert f(2) == math.pi')
    """
    if _is_packed(tests):
        tests = json_of(tests, "the column of tests")
    found = assertions_of(tests)
    if not found:
        raise UnreadableTestsError("no assertions")
    name = tests.get("fn_name") if isinstance(tests, Mapping) else None
    return Suite(NAME, tuple(map(ScriptTest, found)), entry_point=name or None)


def assertions_of(tests: Any) -> list[str]:
    """Return the assertions of a list, without its blanks, or of one text."""
    if isinstance(tests, Mapping):
        tests = content(tests.get("assert_case"))
    if isinstance(tests, str):
        return _parts(tests)
    items = [one for one in tests if not empty(one)] if isinstance(tests, list) else []
    return items if all(isinstance(one, str) and "assert" in one for one in items) else []


def _parts(text: str) -> list[str]:
    """Return each assertion of a text that has nothing else but what they all need before them."""
    nodes = statements(text)
    if not all(isinstance(node, (ast.Assert, *_SETUP)) for node in nodes):
        return []
    setup, parts = "", []
    for node in nodes:
        code = ast.get_source_segment(text, node) or ast.unparse(node)
        if isinstance(node, ast.Assert):
            parts.append(setup + code)
        else:
            setup += code + "\n"
    return parts


def _is_packed(tests: Any) -> bool:
    """Return whether a value is compressed data as base64 text."""
    return isinstance(tests, str) and tests.startswith("eJ") and len(tests) > 32
