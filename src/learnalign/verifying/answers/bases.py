"""Numbers with an explicit base."""

import re

from learnalign.verifying.answers.scalars import COUNTING
from learnalign.verifying.answers.values import Based

_BASED = re.compile(
    r"\(?([0-9][0-9A-Za-z]*)\)?\s*(?:_\s*\{?\s*(?:base\s*)?(\d{1,2}|[a-z]+)\s*\}?"
    r"|\(?\s*(?:in )?base[\s-]+(\d{1,2}|[a-z]+)\s*\)?)"
)
_BASES = {word: number for number, word in enumerate(COUNTING) if 2 <= number <= 36}


def read_based(plain: str) -> Based | None:
    """Parse ``210_3``, ``(210)_{three}``, ``210 (base 3)``, ``0b101``; None for other text.

    Example:
        >>> str(read_based("210_{3}")), str(read_based("0xFF")), read_based("215_3")
        ('210 (base 3)', 'FF (base 16)', None)
    """
    prefixed = re.fullmatch(r"0([bxo])([0-9a-fA-F]+)", plain)
    if prefixed:
        return Based(prefixed[2].upper().lstrip("0") or "0", {"b": 2, "o": 8, "x": 16}[prefixed[1]])
    match = _BASED.fullmatch(plain)
    if match is None:
        return None
    name = match[2] or match[3]
    base = int(name) if name.isdigit() else _BASES.get(name, 0)
    digits = match[1].upper().lstrip("0") or "0"
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        return None
    return Based(digits, base)
