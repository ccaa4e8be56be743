"""A single number, quantity or expression, told from plain words."""

import re
from fractions import Fraction

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.notation import without_wording
from learnalign.verifying.answers.numbers import Number, read_number
from learnalign.verifying.answers.units import without_unit
from learnalign.verifying.answers.values import Scalar

#: Words of up to three letters, which else are taken for products of variables.
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
#: The words of the numbers from zero on.
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
#: Numbers with spaces between are no product.
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
    r"""Read a number, quantity or expression; None if a text is none, or plain words.

    Args:
        marked: In the notation of `spelled`, its words still marked.

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
    """Read a number up to twenty in a word; None if it is none.

    Example:
        >>> counting_word("Six"), counting_word("red")
        (Scalar(text='Six', number=Number(value=Fraction(6, 1), digits=None), unit=None), None)
    """
    if text.lower() not in COUNTING:
        return None
    return Scalar(text, Number(Fraction(COUNTING.index(text.lower()))))


def is_wording(plain: str) -> bool:
    """Return whether a text is words rather than a product of variables."""
    prose = re.findall(r"(?<![\w{])[A-Za-z]{2,}(?![\w}])", re.sub(r"\\[a-zA-Z]+", " ", plain))
    if len(prose) > 1 and (max(map(len, prose)) > 2 or {*map(str.lower, prose)} & _LITTLE_WORDS):
        return True
    if re.search(r"\\[a-zA-Z]+|[=^_{}<>]|\d\s*[-+*/]\s*\d", plain):
        return False
    if _ROW.fullmatch(plain) and read_number(plain) is None:
        return True
    if re.fullmatch(r"[A-Z]{3,}", plain):  # an order, a code: no product of variables
        return True
    words = re.findall(r"[^\W\d_]+", plain)
    if not words or re.match(r"[-+(]?\d", plain):
        return False
    return any(len(word) > 3 or word.lower() in _SHORT_WORDS for word in words) or (
        len(words) == 1 and not words[0].isascii()
    )
