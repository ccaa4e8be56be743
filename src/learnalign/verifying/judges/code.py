"""Python literals, such as the return value of some code. Nothing is executed."""

import ast
import re
from typing import Any

from learnalign.verifying.answers.extraction import marked_answers
from learnalign.verifying.guards import refusal
from learnalign.verifying.judgement import Judgement, judged, unparsed

_FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)|\[ANSWER\](.*?)\[/ANSWER\]", re.DOTALL)
_NOTHING = object()


def parse_gold(gold: str) -> tuple[Any] | None:
    """Parse a gold that is a Python literal; returned in a tuple, because None is a value.

    Raises:
        ValueError: for a program or its tests.

    Example:
        >>> parse_gold("{'a': [1, 2]}"), parse_gold("")
        (({'a': [1, 2]},), None)
    """
    if not gold.strip():
        return None
    value = _literal(gold)
    if value is _NOTHING:
        raise ValueError(
            "not a Python literal: tests in a known format are for --verifier program "
            "(docs/guides/code.md), others need your own function (--verifier module:function)"
        )
    return (value,)


def judge(gold: tuple[Any], completion: str) -> Judgement:
    """Compare the answer's value with the gold: equal and of the same types.

    Example:
        >>> judge(([1, 2],), "The answer is `[1,2]`").verdict, judge(([1, 2],), "(1, 2)").verdict
        ('correct', 'wrong')
    """
    texts = [candidate.text for candidate in marked_answers(completion)]
    texts += [tick or tag for tick, tag in _CODE.findall(completion)[-1:]]
    texts += [block.strip() for block in reversed(_FENCE.findall(completion))]
    texts += [line.strip() for line in completion.strip().splitlines()[-1:]]
    for text in texts:
        value = _literal(text)
        if value is not _NOTHING:
            return judged(repr(value) == repr(gold[0]) or _same(value, gold[0]), repr(value), text)
    return unparsed(None, texts[0] if texts else None)


def _literal(text: str) -> Any:
    if refusal(text) is not None:
        return _NOTHING
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _NOTHING


def _same(one: Any, other: Any) -> bool:
    """Compare values and their types; sets and dicts are unordered."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
