r"""Manual review of the verdicts in which LearnAlign and others differ: who is right, and why.

A reason starts with ``ours is right``, ``theirs is right`` or ``the gold is damaged``.
"""

import re

_BOXES = "ours is right: several boxes are several attempts, and the last one is the answer"
_UNIT = "the gold is damaged: its unit was removed, but not the exponent"
_GAP = "the gold is damaged: the words between two answers were removed"
_SPACES = "the gold is damaged: its spaces or words were removed"
_BREAKS = "the gold is damaged: matrix rows end with one backslash instead of two"
_LINES = "ours is right: a formula may start on a new line"
_COMMA = "ours is right: a comma may separate two answers, which a point does not"

#: Reasons by case, shared by all verifiers that judge it.
EXPLAINED = {
    "MATH-72/7": "ours is right: the gold 10{,}000 and the answer 10000 are the same number",
    "MATH, worked-526/0": _UNIT,
    "MATH, worked-1863/0": _UNIT,
    "MATH, worked-1901/0": _UNIT,
    "MATH, worked-1958/0": _UNIT,
    "MATH, worked-3647/0": _UNIT,
    "MATH, worked-644/0": _GAP,
    "MATH, worked-3655/0": _GAP,
    "MATH, worked-655/0": _SPACES,
    "MATH, worked-1991/0": _SPACES,
    "MATH, worked-4134/0": _SPACES,
    "MATH, worked-1714/0": r"the gold is damaged: a backslash and a bracket instead of \pi",
    "MATH, worked-3526/0": "the gold is damaged: it is empty",
    "MATH, worked-4060/0": "the gold is damaged: it is the message that no box was found",
    "MATH, worked-429/0": "theirs is right: 9 and 9 a.m. are the same if only one has a.m.",
    "test_all:test_number_extraction/6/0": _COMMA,
    "test_all:test_number_extraction/7/0": _COMMA,
    "test_all:test_number_extraction/17/0": "theirs is right: 0,111 can only be a decimal comma",
    "test_all:test_latex_notation/5/0": _LINES,
    "test_all:test_latex_notation/6/0": _LINES,
    "test_all:test_latex_notation_math/2/0": "ours is right: the gold is a truncated equation",
    "test_all:test_complex_math_expressions/4/0": "the gold is damaged: a form feed, not \\frac",
    "test_all:test_math_extraction_additional_cases/17/0": (
        "theirs is right: the announced final answer after the last box counts"
    ),
    "test_all:test_set_rel_assymetry/3/0": "ours is right: both are the same set of numbers",
    "test_all:test_relations_math/16/0": "ours is right: 1/3 is not approximately 1.3",
    "test_all:test_relations_math/21/0": "the gold is damaged: it states that 1 is 0",
    "test_boxed:test_boxed/0/0": _BOXES,
    "test_open_thoughts:test_open_thoughts/14/0": _BOXES,
    "test_open_thoughts:test_open_thoughts/27/0": _BOXES,
    "test_numina_cases:test_numina_cases/9/0": (
        "theirs is right: pairs of values for p and q are the same as tuples"
    ),
    "test_numina_cases:test_numina_cases/24/0": (
        "ours is right: an unclosed box, and a function of another variable"
    ),
    "test_yujianll:test_string_extraction/9/0": "ours is right: 1 - 1/e is not 1 + 1/e",
}
_BROKEN_ROWS = re.compile(r"\\begin\{pmatrix\}.*[^\\]\\(?![\\a-z])")


def reason(case: str, gold: str) -> str | None:
    r"""Return who is right if the verdicts of a case differ, and why; None if it is not recorded.

    Example:
        >>> reason("MATH, worked-9999/0", r"\begin{pmatrix}1\2\end{pmatrix}")
        'the gold is damaged: matrix rows end with one backslash instead of two'
        >>> reason("MATH, worked-9999/0", r"\begin{pmatrix}1\\2\end{pmatrix}") is None
        True
    """
    if case.startswith("MATH, worked") and _BROKEN_ROWS.search(gold):
        return _BREAKS
    return EXPLAINED.get(case)
