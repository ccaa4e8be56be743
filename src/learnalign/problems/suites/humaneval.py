r"""HumanEval and its relatives (HumanEval+, MBPP+ of EvalPlus's hub, LeetCode).

    {"prompt": "def add(a, b):\n    ...", "entry_point": "add",
     "test": "def check(candidate):\n    assert candidate(1, 2) == 3", "canonical_solution": ...}

The prompt is the beginning of the program, and ``check`` is called with the entry point.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import ScriptTest, Suite, first_text

NAME = "HumanEval"
DATA_SETS = "HumanEval, HumanEval+, MBPP+ (hub), LeetCodeDataset"
COLUMNS = ("test", "entry_point", "prompt", "canonical_solution")
PROMPT = "prompt"
_CHECK = re.compile(r"^def check\(", re.MULTILINE)
_CALLED = re.compile(r"^check\(", re.MULTILINE)


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether a row has these columns."""
    return all(isinstance(row.get(name), str) for name in ("test", "entry_point"))


def read(row: Mapping[str, Any]) -> Suite:
    r"""Read a row.

    Example:
        >>> row = {"prompt": "", "entry_point": "f", "test": "def check(candidate): pass"}
        >>> read(row).tests
        (ScriptTest(code='def check(candidate): pass\ncheck(f)'),)
    """
    code, name = row["test"], row["entry_point"]
    if _CHECK.search(code) and not _CALLED.search(code):
        code += f"\ncheck({name})"
    prompt, solution = first_text(row, "prompt"), first_text(row, "canonical_solution")
    prefix = prompt if is_code(prompt) else ""
    references = tuple(filter(None, [solution and prefix + solution, solution]))
    return Suite(NAME, (ScriptTest(code),), name.split("(")[0], prefix, references)


def is_code(prompt: str) -> bool:
    r"""Return whether a prompt is the beginning of a program rather than a question.

    Example:
        >>> is_code("import math\n\ndef f(x):\n"), is_code("Write a function f.")
        (True, False)
    """
    try:
        ast.parse(prompt.rstrip() + "\n    pass\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(re.search(r"^\s*(def|class|import|from) ", prompt, re.MULTILINE))
