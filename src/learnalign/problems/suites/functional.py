r"""One script that tests a function: LeetCode problems of code-r1, and files of pytest.

{"functional": "def check(candidate): ...\ncheck(Solution().twoSum)"}
{"pytest": "from solution import add\ndef test_add(): assert add(1, 2) == 3"}

The script may also be the column's text itself: assertions that are not simply one after the other,
functions and classes of tests, a call of `check`. Code that defines anything else is a program.
"""

import ast
from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import ScriptTest, Suite, first_text, statements

NAME = "test script"
DATA_SETS = "code-r1, LeetCode"
_KEYS = ("functional", "pytest")


def recognises(tests: Any) -> bool:
    r"""Return whether a value is a script, or an object with one.

    Example:
        >>> recognises("for i in range(3):\n    assert f(i) == i")
        True
        >>> recognises("def f(i):\n    return i\n\nassert f(1) == 1")
        False
    """
    return bool(_script(tests))


def read(tests: Any) -> Suite:
    """Read the script.

    Example:
        >>> read({"functional": "assert f(1) == 2"}).tests
        (ScriptTest(code='assert f(1) == 2'),)
    """
    return Suite(NAME, (ScriptTest(_script(tests)),))


def _script(tests: Any) -> str:
    if isinstance(tests, Mapping):
        return first_text(tests, *_KEYS)
    nodes = statements(tests)
    return tests if nodes and all(map(_may_be_a_test, nodes)) else ""


def _may_be_a_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test") or any(
            "TestCase" in ast.unparse(base) for base in node.bases
        )
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name.startswith(("test", "check"))
    return True
