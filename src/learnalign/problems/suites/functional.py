r"""One script that tests a function: LeetCode problems of code-r1, and files of pytest.

{"functional": "def check(candidate): ...\ncheck(Solution().twoSum)"}
{"pytest": "from solution import add\ndef test_add(): assert add(1, 2) == 3"}
"""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import ScriptTest, Suite, first_text

NAME = "test script"
DATA_SETS = "code-r1, LeetCode"
_KEYS = ("functional", "pytest")


def recognises(tests: Any) -> bool:
    """Return whether a value is an object with a script."""
    return isinstance(tests, Mapping) and bool(first_text(tests, *_KEYS))


def read(tests: Mapping[str, Any]) -> Suite:
    """Read the script.

    Example:
        >>> read({"functional": "assert f(1) == 2"}).tests
        (ScriptTest(code='assert f(1) == 2'),)
    """
    return Suite(NAME, (ScriptTest(first_text(tests, *_KEYS)),))
