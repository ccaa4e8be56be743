r"""HumanEval and its relatives (HumanEval+, BigCodeBench, LeetCode).

    {"prompt": "def add(a, b):\n    ...", "entry_point": "add",
     "test": "def check(candidate):\n    assert candidate(1, 2) == 3", "canonical_solution": ...}

The prompt is the beginning of the program, and ``check`` is called with the entry point.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from learnalign.problems.suites.suite import UNPARSABLE, ScriptTest, Suite, first_text

NAME = "HumanEval"
DATA_SETS = "HumanEval, HumanEval+, BigCodeBench, LeetCodeDataset"
COLUMNS = ("test", "entry_point", "prompt", "code_prompt", "canonical_solution")
PROMPT = "prompt"
#: Columns of the beginning of the program; the latter is BigCodeBench's.
_PROMPTS = ("prompt", "code_prompt")
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
    prompt, solution = first_text(row, *_PROMPTS), first_text(row, "canonical_solution")
    prefix = prompt if is_code(prompt) else ""
    references = tuple(filter(None, [solution and prefix + solution, solution]))
    name = name.split("(")[0].strip()
    return Suite(NAME, (ScriptTest(_helpers(prefix, name, code) + code),), name, prefix, references)


def _helpers(prefix: str, name: str, code: str) -> str:
    r"""Return the prompt's own functions that the tests use, which no program may redefine.

    Where the prompt also defines classes, tests and program share them, and nothing is taken.

    Example:
        >>> prompt = "def encode(s):\n    return s[::-1]\n\ndef decode(s):\n"
        >>> _helpers(prompt, "decode", "assert decode(encode('ab')) == 'ab'")
        'def encode(s):\n    return s[::-1]\n'
    """
    if not prefix:
        return ""
    nodes = ast.parse(prefix.rstrip() + "\n    pass\n").body
    functions = [
        node
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name != name and not _is_stub(node)
    ]
    used = set(re.findall(r"\w+", code))
    if not used & {n.name for n in functions} or any(isinstance(n, ast.ClassDef) for n in nodes):
        return ""
    imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return "".join(ast.unparse(node) + "\n" for node in [*imports, *functions])


def _is_stub(function: ast.FunctionDef) -> bool:
    """Return whether a function is to be written: only a docstring, `pass` or `...`."""
    return all(isinstance(node, ast.Pass | ast.Expr) for node in function.body)


def is_code(prompt: str) -> bool:
    r"""Return whether a prompt is the beginning of a program rather than a question.

    Example:
        >>> is_code("import math\n\ndef f(x):\n"), is_code("Write a function f.")
        (True, False)
    """
    try:
        ast.parse(prompt.rstrip() + "\n    pass\n")
    except UNPARSABLE:
        return False
    return bool(re.search(r"^\s*(def|class|import|from) ", prompt, re.MULTILINE))
