"""MBPP: a list of assertions, with set-up code.

{"text": "Write a function ...", "code": ..., "test_list": ["assert add(1, 2) == 3"],
"test_setup_code": "", "challenge_test_list": []}

MBPP+ of the hub has more tests in a script, ``test``.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.asserts import assertions_of
from learnalign.problems.suites.suite import (
    ScriptTest,
    Suite,
    content,
    first_text,
    texts,
)

NAME = "MBPP"
DATA_SETS = "MBPP, MBPP sanitized, MBPP+ (hub)"
COLUMNS = ("test_list", "test_setup_code", "test_imports", "challenge_test_list", "test", "code")
PROMPT = "text"


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether a row has these columns."""
    return bool(assertions_of(content(row.get("test_list"))))


def read(row: Mapping[str, Any]) -> Suite:
    r"""Read a row.

    Example:
        >>> read({"test_list": ["assert f(1) == 2"], "test_setup_code": "import math"}).tests
        (ScriptTest(code='import math\nassert f(1) == 2'),)
    """
    setup = [first_text(row, "test_setup_code"), *texts(row.get("test_imports"))]
    lists = (content(row.get(name)) for name in ("test_list", "challenge_test_list"))
    asserts = [one for tests in lists for one in assertions_of(tests)]
    tests = tuple(ScriptTest("\n".join(filter(None, [*setup, test]))) for test in asserts)
    script = first_text(row, "test")
    if "assert" in script:
        tests += (ScriptTest(script),)
    return Suite(NAME, tests, references=texts(row.get("code")))
