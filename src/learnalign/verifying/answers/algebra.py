r"""Values and equality of expressions, by a parser that is imported when a text first needs it.

sympy and math-verify take about a second to import. Plain numbers and words do without them.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any

from learnalign.verifying.answers.numbers import Number

#: Signs, functions and letters next to digits: what tells an expression from a number or words.
_SIGNS = re.compile(
    r"[\\^√π*!(){}|]|\d\s*[-+/]|\d[a-zA-Z]|[a-zA-Z]\d|\b(?:pi|sqrt|log|ln|sin|cos|tan)\b"
)


@cache
def _parser() -> Any:
    return import_module("learnalign.verifying.answers.expressions")


def load_for(texts: Iterable[str]) -> None:
    r"""Import the parser if a text may hold an expression, so that no answer's time pays for it.

    A text that is not recognised as one here costs the import later, and is judged the same.

    Example:
        >>> load_for(["The answer is 12."]), load_for([r"\frac{1}{2}"])
        (None, None)
    """
    if any(_SIGNS.search(text) for text in texts):
        _parser()


def expression(text: str) -> Any:
    """Parse a text; see `learnalign.verifying.answers.expressions.expression`."""
    return _parser().expression(text)


def constant(text: str) -> Number | None:
    """Return the value of a constant; see `learnalign.verifying.answers.expressions.constant`."""
    number: Number | None = _parser().constant(text)
    return number


def same_expression(gold: str, answer: str) -> bool:
    """Return whether two texts are equal; see `learnalign.verifying.answers.expressions`."""
    same: bool = _parser().same_expression(gold, answer)
    return same
