r"""Numbers as they are written: exact values, and how many digits a decimal vouches for."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

#: Powers and exponents beyond it are left to expressions.
_MAX_DIGITS = 4000
#: Decimals that differ by less are the same: what floating-point arithmetic leaves behind.
_NOISE = Fraction(1, 10**12)
#: Significant digits with which floating-point numbers are printed in full.
_FLOAT = 15
#: A decimal of so many significant digits may stand for the number that it rounds.
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
    """A number that was written down."""

    value: Fraction
    digits: int | None = None
    """Significant digits of a decimal; None for a whole number or a fraction, which are exact."""

    def __str__(self) -> str:
        return written(self.value)


@lru_cache(4096)
def read_number(text: str) -> Number | None:
    r"""Read a text that is one number and nothing else, in the notation of `spelled`.

    Thousands may be grouped by commas (also the Indian way), spaces, apostrophes or underscores,
    and by points where a decimal comma follows or there are two of them.

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
    found = _MAGNITUDE.fullmatch(text)
    if found:
        head = read_number(found[1])
        scale = MAGNITUDES[found[2].lower()]
        return None if head is None else Number(head.value * scale, head.digits)
    if "." in text and ("..." in text or "\\" in text):
        return _repeating(text) or _plain(text)
    return _plain(text) or _power(text) or _fraction(text)


def _plain(text: str) -> Number | None:
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    sign, digits, *exponents = found.groups()
    exponent = int(next((e for e in exponents if e is not None), 0))
    if abs(exponent) > _MAX_DIGITS:
        return None
    if digits.isdecimal() and not exponent:
        return Number(_signed(sign, Fraction(int(digits))))
    value = _decimal(digits) * Fraction(10) ** exponent
    is_exact = exponent == 0 and value.denominator == 1
    return Number(_signed(sign, value), None if is_exact else _significant(digits))


def _repeating(text: str) -> Number | None:
    r"""Read a decimal that repeats itself: ``0.\overline{36}``, ``0.\dot{3}``, ``0.333...``."""
    found = _REPEATING.fullmatch(text)
    if found is None:
        return None
    sign, whole, fixed, *forms = found.groups()
    period = re.sub(r"\D", "", next(form for form in forms if form is not None))
    if forms[2] is not None:
        fixed = fixed.rstrip(period)
    start = Fraction(int(f"{whole}{fixed}" or "0"), 10 ** len(fixed))
    rest = Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
    return Number(_signed(sign, start + rest))


def _power(text: str) -> Number | None:
    found = _POWER.fullmatch(text)
    if found is None:
        return None
    base, exponent = int(found[2]), int(found[3])
    if len(found[2]) * abs(exponent) > _MAX_DIGITS or (base == 0 and exponent <= 0):
        return None
    return Number(_signed(found[1], Fraction(base) ** exponent))


def _fraction(text: str) -> Number | None:
    found = _MIXED.fullmatch(text)
    if found is not None:
        above, below = (Fraction(part) for part in found.groups()[2:] if part is not None)
        if below == 0:
            return None
        return Number(_signed(found[1], Fraction(found[2]) + above / below))
    found = _SLASH.fullmatch(text) or _FRAC.fullmatch(text)
    if found is None:
        return None
    above, below = (_part(part) for part in found.groups()[1:])
    return None if below == 0 else Number(_signed(found[1], above / below))


def same_number(gold: Number, answer: Number) -> bool:
    """Return whether two numbers are equal, exactly or as far as a decimal can say.

    Whole numbers and fractions are exact. A decimal equals what it rounds, if it has six
    significant digits or more. A difference of a relative 1e-12 is noise of floating-point, if one
    of them was printed with all the digits of a float.

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
    # Half a unit of the last digit that was written.
    unit = Fraction(10) ** (_order(coarse.value) - (coarse.digits or 0) + 1)
    return difference <= unit / 2


def written(value: Fraction) -> str:
    """Write a value down; huge ones in powers of ten.

    Example:
        >>> written(Fraction(5, 2)), written(Fraction(10) ** 5000)
        ('5/2', 'about 1e5000')
    """
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 3 * _MAX_DIGITS:
        return f"about {'-' if value < 0 else ''}1e{_order(value)}"
    return str(value)


def _order(value: Fraction) -> int:
    """Return the power of ten of a number's first digit."""
    above, below = abs(value.numerator), value.denominator
    guess = int((above.bit_length() - below.bit_length()) * 0.30102999566398)
    while Fraction(10) ** guess > abs(value):
        guess -= 1
    while Fraction(10) ** (guess + 1) <= abs(value):
        guess += 1
    return guess


def _ungrouped(digits: str) -> str:
    """Write digits without marks between thousands, with a decimal point."""
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
