r"""Parsing numbers: exact values, and the significant digits of decimals."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

#: Larger powers and exponents are parsed as expressions instead.
_MAX_DIGITS = 4000
#: Relative difference below which decimals are equal up to floating-point error.
_NOISE = Fraction(1, 10**12)
#: Significant digits of a floating-point number printed in full.
_FLOAT = 15
#: Minimum significant digits of a decimal that may equal the exact number it rounds.
_ROUNDED = 6

_INTEGER = (
    r"(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?: \d{3})+|\d{1,3}(?:'\d{3})+"
    r"|\d{1,3}(?:_\d{3})+|\d{1,3}(?:, ?0\d{2})+|\d+)"
)
_EUROPEAN = r"\d{1,3}(?:\.\d{3})+(?:,\d+)|\d{1,3}(?:\.\d{3}){2,}"
_DECIMAL = rf"(?:{_EUROPEAN}|{_INTEGER}(?:\.\d*)?|\.\d+)"
_SIGN = r"[-+]?\s*"
_EXPONENT = r"\{?\s*([-+]?\d+)\s*\}?"
_TIMES = r"\s*(?:\\times|\\cdot|\*|x|X)\s*"
_PLAIN = re.compile(rf"({_SIGN})({_DECIMAL})(?:[eE]([-+]?\d+)|{_TIMES}10\s*\^\s*{_EXPONENT})?")
_POWER = re.compile(rf"({_SIGN})(\d+)\s*\^\s*{_EXPONENT}")
_SLASH = re.compile(rf"({_SIGN})({_DECIMAL})\s*/\s*({_DECIMAL})")
_FRAC = re.compile(
    rf"({_SIGN})\\frac\{{\s*({_SIGN}{_DECIMAL})\s*\}}\{{\s*({_SIGN}{_DECIMAL})\s*\}}"
)
_MIXED = re.compile(
    rf"({_SIGN})(\d+)(?:\s+(?:and\s+)?(\d+)\s*/\s*(\d+)|\s*(?:and\s+)?\\frac\{{(\d+)\}}\{{(\d+)\}})"
)
MAGNITUDES = {
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "lakh": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "billion": 10**9,
    "trillion": 10**12,
    "万": 10**4,
    "亿": 10**8,
}
_MAGNITUDE = re.compile(rf"(.*?\d)\s*({'|'.join(MAGNITUDES)})s?", re.IGNORECASE)
_REPEATING = re.compile(
    r"([-+]?)\s*(\d*)\.(\d*)(?:\\overline\s*\{(\d+)\}|((?:\\dot\s*\{?\d\}?)+)|(\d)\6{2,}\s*(?:\.\.\.|\\l?dots))"
)


@dataclass(frozen=True)
class Number:
    """A number as written."""

    value: Fraction
    digits: int | None = None
    """Significant digits of a decimal; None for an integer or a fraction, which are exact."""

    def __str__(self) -> str:
        return written(self.value)


@lru_cache(4096)
def read_number(text: str) -> Number | None:
    r"""Parse a text that is only a number, in the notation of `spelled`.

    Thousands may be grouped by commas (including Indian grouping), spaces, apostrophes or
    underscores, and by points if a decimal comma or another point follows.

    Example:
        >>> [str(read_number(text)) for text in ("1,234.5", "10 000", "1.234,5", "1,00,000")]
        ['2469/2', '10000', '2469/2', '100000']
        >>> [str(read_number(text)) for text in ("2 1/2", r"-\frac{3}{6}", "4.2e-3", "10^{-2}")]
        ['5/2', '-1/2', '21/5000', '1/100']
        >>> read_number("1,2"), read_number("x"), read_number("3/0"), read_number("0.50").digits
        (None, None, None, 2)
    """
    text = text.strip()
    if not text or len(text) > _MAX_DIGITS or not any(sign.isdigit() for sign in text):
        return None
    match = _MAGNITUDE.fullmatch(text)
    if match:
        head = read_number(match[1])
        scale = MAGNITUDES[match[2].lower()]
        return None if head is None else Number(head.value * scale, head.digits)
    if "." in text and ("..." in text or "\\" in text):
        return _repeating(text) or _plain(text)
    return _plain(text) or _power(text) or _fraction(text)


def _plain(text: str) -> Number | None:
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    sign, digits, *exponents = match.groups()
    exponent = int(next((e for e in exponents if e is not None), 0))
    if abs(exponent) > _MAX_DIGITS:
        return None
    if digits.isdecimal() and not exponent:
        return Number(_signed(sign, Fraction(int(digits))))
    value = _decimal(digits) * Fraction(10) ** exponent
    is_exact = exponent == 0 and value.denominator == 1
    return Number(_signed(sign, value), None if is_exact else _significant(digits))


def _repeating(text: str) -> Number | None:
    r"""Parse a repeating decimal: ``0.\overline{36}``, ``0.\dot{3}``, ``0.333...``."""
    match = _REPEATING.fullmatch(text)
    if match is None:
        return None
    sign, integer, fixed, *forms = match.groups()
    period = re.sub(r"\D", "", next(form for form in forms if form is not None))
    if forms[2] is not None:
        fixed = fixed.rstrip(period)
    start = Fraction(int(f"{integer}{fixed}" or "0"), 10 ** len(fixed))
    rest = Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
    return Number(_signed(sign, start + rest))


def _power(text: str) -> Number | None:
    match = _POWER.fullmatch(text)
    if match is None:
        return None
    base, exponent = int(match[2]), int(match[3])
    if len(match[2]) * abs(exponent) > _MAX_DIGITS or (base == 0 and exponent <= 0):
        return None
    return Number(_signed(match[1], Fraction(base) ** exponent))


def _fraction(text: str) -> Number | None:
    match = _MIXED.fullmatch(text)
    if match is not None:
        numerator, denominator = (Fraction(part) for part in match.groups()[2:] if part is not None)
        if denominator == 0:
            return None
        return Number(_signed(match[1], Fraction(match[2]) + numerator / denominator))
    match = _SLASH.fullmatch(text) or _FRAC.fullmatch(text)
    if match is None:
        return None
    numerator, denominator = (_part(part) for part in match.groups()[1:])
    return None if denominator == 0 else Number(_signed(match[1], numerator / denominator))


def same_number(gold: Number, answer: Number) -> bool:
    """Return whether two numbers are equal, exactly or within the precision of a decimal.

    Integers and fractions are exact. A decimal with at least six significant digits equals a number
    that it rounds. A relative difference of up to 1e-12 is floating-point error, if one of the
    numbers was printed with all digits of a float.

    Example:
        >>> third, half = Number(Fraction(1, 3)), Number(Fraction(1, 2))
        >>> same_number(third, read_number("0.333333")), same_number(third, read_number("0.33"))
        (True, False)
        >>> same_number(read_number("6.63e-34"), read_number("6.02e-34"))
        False
        >>> same_number(read_number("123456789"), read_number("123456788"))
        False
    """
    if gold.value == answer.value:
        return True
    decimals = [number for number in (gold, answer) if number.digits is not None]
    if not decimals:
        return False
    difference = abs(gold.value - answer.value)
    coarse, *finer = sorted(decimals, key=lambda number: number.digits or 0)
    if max(number.digits or 0 for number in decimals) >= _FLOAT and (
        difference <= _NOISE * max(abs(gold.value), abs(answer.value))
    ):
        return not finer or finer[0].digits != coarse.digits
    if (coarse.digits or 0) < _ROUNDED or coarse.value == 0:
        return False
    # Half a unit in the last digit.
    unit = Fraction(10) ** (_order(coarse.value) - (coarse.digits or 0) + 1)
    return difference <= unit / 2


def written(value: Fraction) -> str:
    """Format a value; huge values as powers of ten.

    Example:
        >>> written(Fraction(5, 2)), written(Fraction(10) ** 5000)
        ('5/2', 'about 1e5000')
    """
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 3 * _MAX_DIGITS:
        return f"about {'-' if value < 0 else ''}1e{_order(value)}"
    return str(value)


def _order(value: Fraction) -> int:
    """Return the power of ten of a number's first digit."""
    numerator, denominator = abs(value.numerator), value.denominator
    guess = int((numerator.bit_length() - denominator.bit_length()) * 0.30102999566398)
    while Fraction(10) ** guess > abs(value):
        guess -= 1
    while Fraction(10) ** (guess + 1) <= abs(value):
        guess += 1
    return guess


def _ungrouped(digits: str) -> str:
    """Remove thousands separators, and use a decimal point."""
    if re.fullmatch(_EUROPEAN, digits):
        return digits.replace(".", "").replace(",", ".")
    return re.sub(r"[, '_]", "", digits)


def _decimal(digits: str) -> Fraction:
    return Fraction(_ungrouped(digits).removesuffix(".") or "0")


def _part(text: str) -> Fraction:
    text = text.replace(" ", "")
    return -_decimal(text[1:]) if text.startswith("-") else _decimal(text.removeprefix("+"))


def _significant(digits: str) -> int:
    return max(1, len(_ungrouped(digits).replace(".", "").lstrip("0")))


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if "-" in sign else value
