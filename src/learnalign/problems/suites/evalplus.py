"""EvalPlus's own files (HumanEvalPlus.jsonl, MbppPlus.jsonl): inputs, without the outputs.

    {"entry_point": "add", "base_input": [[1, 2]], "plus_input": [[0, 0]], "atol": 0,
     "prompt": ..., "canonical_solution": ...}

A program must return what the reference solution returns, up to ``atol``.
"""

from collections.abc import Mapping
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
    rule: _Rule = _RULES.get(row["entry_point"], "value")
    tests = tuple(CallTest(tuple(given), (), absolute, rule) for given in inputs)
    prompt, solution = first_text(row, "prompt"), first_text(row, "canonical_solution")
    prefix = prompt if is_code(prompt) else ""
    return Suite(NAME, tests, row["entry_point"], prefix, (prefix + solution, solution))
