"""Parsing a single number, quantity or expression, as opposed to plain words."""

import re
from fractions import Fraction

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.notation import without_wording
from learnalign.verifying.answers.numbers import Number, read_number
from learnalign.verifying.answers.units import without_unit
from learnalign.verifying.answers.values import Scalar

#: Short words that would otherwise be read as products of variables.
_SHORT_WORDS = frozenset(
    [
        "yes",
        "no",
        "on",
        "off",
        "up",
        "odd",
        "one",
        "two",
        "six",
        "ten",
        "red",
        "none",
        "both",
        "east",
        "west",
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
    ]
)
#: Number words, starting from zero.
COUNTING = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
#: Numbers separated by spaces are not a product.
_ROW = re.compile(r"[-+]?\d[\d.,]*(?:\s+\d[\d.,]*)+")
_LITTLE_WORDS = frozenset(
    [
        "it",
        "is",
        "so",
        "we",
        "of",
        "to",
        "in",
        "at",
        "be",
        "as",
        "or",
        "if",
        "by",
        "on",
        "an",
        "he",
        "no",
    ]
)


def scalar(marked: str) -> Scalar | None:
    r"""Parse a number, quantity or expression; None for plain words and other text.

    Args:
        marked: Text in the notation of `spelled`, with its words still marked.

    Example:
        >>> scalar(r"3\sqrt{2} \text{ cm}"), scalar("red car")
        (Scalar(text='3\\sqrt{2}', number=None, unit='cm'), None)
    """
    head, unit = without_unit(marked)
    head = trimmed(without_wording(head))
    if not head:
        return None
    if unit is None and (counted := counting_word(head)):
        return counted
    if is_wording(head) and unit is None:
        return None
    return Scalar(head, read_number(head), unit)


def counting_word(text: str) -> Scalar | None:
    """Parse a number word up to twenty; None for other text.

    Example:
        >>> counting_word("Six"), counting_word("red")
        (Scalar(text='Six', number=Number(value=Fraction(6, 1), digits=None), unit=None), None)
    """
    if text.lower() not in COUNTING:
        return None
    return Scalar(text, Number(Fraction(COUNTING.index(text.lower()))))


def is_wording(plain: str) -> bool:
    """Return whether a text consists of words rather than a product of variables."""
    prose = re.findall(r"(?<![\w{])[A-Za-z]{2,}(?![\w}])", re.sub(r"\\[a-zA-Z]+", " ", plain))
    if len(prose) > 1 and (max(map(len, prose)) > 2 or {*map(str.lower, prose)} & _LITTLE_WORDS):
        return True
    if re.search(r"\\[a-zA-Z]+|[=^_{}<>]|\d\s*[-+*/]\s*\d", plain):
        return False
    if _ROW.fullmatch(plain) and read_number(plain) is None:
        return True
    if re.fullmatch(r"[A-Z]{3,}", plain):  # an order or a code, not a product of variables
        return True
    words = re.findall(r"[^\W\d_]+", plain)
    if not words or re.match(r"[-+(]?\d", plain):
        return False
    return any(len(word) > 3 or word.lower() in _SHORT_WORDS for word in words) or (
        len(words) == 1 and not words[0].isascii()
    )
