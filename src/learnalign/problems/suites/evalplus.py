"""EvalPlus's own files (HumanEvalPlus.jsonl, MbppPlus.jsonl): inputs, without the outputs.

    {"entry_point": "add", "base_input": [[1, 2]], "plus_input": [[0, 0]], "atol": 0,
     "prompt": ..., "canonical_solution": ...}

A program must return what the reference solution returns, up to ``atol``. JSON has no tuples, sets
and complex numbers: arguments get the types that they have in the assertion of MBPP+'s prompt.
"""

import ast
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Literal

from learnalign.problems.suites.humaneval import is_code
from learnalign.problems.suites.suite import CallTest, Suite, content, first_text

NAME = "EvalPlus"
DATA_SETS = "HumanEval+, MBPP+ (EvalPlus's files)"
#: How EvalPlus compares what these functions return (evalplus/eval/_special_oracle.py).
_Rule = Literal["value", "set", "none", "root"]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("similar_elements", "find_char_long", "common_in_nested_lists"), "set"),
    **dict.fromkeys(("extract_singly", "larg_nnum", "intersection_array"), "set"),
    **dict.fromkeys(("find_dissimilar", "Diff"), "set"),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "none"),
    "find_zero": "root",
}
COLUMNS = ("base_input", "plus_input", "entry_point", "atol", "prompt", "canonical_solution")
PROMPT = "prompt"


def recognises(row: Mapping[str, Any]) -> bool:
    """Return whether a row has these columns."""
    return isinstance(content(row.get("base_input")), list) and bool(
        first_text(row, "canonical_solution")
    )


def read(row: Mapping[str, Any]) -> Suite:
    r"""Read a row.

    Example:
        >>> row = {"base_input": [[1]], "plus_input": [[2]], "entry_point": "f", "atol": 0}
        >>> suite = read(row | {"prompt": "def f(x):\n", "canonical_solution": "    return x\n"})
        >>> suite.tests[1].arguments, suite.references[0]
        ((2,), 'def f(x):\n    return x\n')
    """
    inputs = [*content(row["base_input"]), *(content(row.get("plus_input")) or [])]
    absolute = float(row.get("atol") or 0.0)
    example = _example(first_text(row, "prompt"), row["entry_point"])
    inputs = [
        [_typed(value, like) for value, like in zip_longest(given, example[: len(given)])]
        for given in inputs
    ]
    rule: _Rule = _RULES.get(row["entry_point"], "value")
    tests = tuple(CallTest(tuple(given), (), absolute, rule) for given in inputs)
    prompt, solution = first_text(row, "prompt"), first_text(row, "canonical_solution")
    prefix = prompt if is_code(prompt) else ""
    return Suite(NAME, tests, row["entry_point"], prefix, (prefix + solution, solution))


def _example(prompt: str, name: str) -> list[Any]:
    r"""Return the arguments with which the prompt's assertion calls the function.

    Example:
        >>> _example("Add.\nassert set(f((1, 2), [3])) == {4}", "f")
        [(1, 2), [3]]
    """
    for line in prompt.splitlines():
        if not line.startswith("assert "):
            continue
        try:
            nodes = ast.walk(ast.parse(line))
            calls = (n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == name)
            return [ast.literal_eval(argument) for argument in next(calls).args]
        except (SyntaxError, ValueError, StopIteration):
            continue
    return []


def _typed(value: Any, example: Any, *, inside: bool = False) -> Any:
    """Return a JSON value with the types of an example.

    Example:
        >>> _typed([[1, 2], [3, 4]], [(0, 0)]), _typed("1j", 2j), _typed([1], None)
        ([(1, 2), (3, 4)], 1j, [1])
    """
    if isinstance(value, list) and isinstance(example, list | tuple | set):
        items = list(example)
        nested = next((item for item in items if isinstance(item, list | tuple | set)), None)
        same = len(items) == len(value)
        typed = []
        for index, item in enumerate(value):
            like = items[index] if same else items[0] if items else None
            is_list = isinstance(item, list) and not isinstance(like, list | tuple | set)
            if is_list:  # as the example's own lists are
                like = example if nested is None and inside else nested
            typed.append(_typed(item, like, inside=True))
        return type(example)(typed)
    if isinstance(value, str) and isinstance(example, int | float | complex):
        try:
            number = complex(value)
        except ValueError:
            return value
        return number if number.imag or isinstance(example, complex) else number.real
    return value
