r"""KodCode: a file of pytest, which imports the program as ``solution``.

{"question": ..., "solution": "def add(a, b): ...",
"test": "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3"}
"""

from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import ScriptTest, Suite, first_text, texts

NAME = "KodCode"
DATA_SETS = "KodCode"
COLUMNS = ("test", "solution", "test_code")
PROMPT = "question"


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether a row has these columns."""
    code = first_text(row, "test", "test_code")
    return "solution" in code and "import" in code and "def test" in code


def read(row: Mapping[str, Any]) -> Suite:
    r"""Read a row.

    Example:
        >>> test = "from solution import f\ndef test_f(): assert f()"
        >>> read({"test": test, "solution": "f = int"}).references
        ('f = int',)
    """
    code = ScriptTest(first_text(row, "test", "test_code"))
    return Suite(NAME, (code,), references=texts(row.get("solution")))
