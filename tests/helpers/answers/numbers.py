"""Rational numbers: whole, decimal, fractions, mixed, scientific; and near misses of them."""

from fractions import Fraction
from random import Random

from helpers.answers.drawing import (
    SUPERSCRIPTS,
    TIMES,
    Answer,
    Drawn,
    Shape,
    drawn,
    grouped,
    other_digit,
    signed,
)

#: Digits as they are typed beside Chinese and Japanese text.
FULL_WIDTH = {ord(c): chr(ord(c) + 0xFEE0) for c in "0123456789.-,/()"}


def whole(rng: Random) -> Drawn:
    """1 to 14 digits."""
    low = 10 ** rng.randrange(14)
    number = rng.choice([1, 1, -1]) * rng.randrange(low, 10 * low)

    def made(value: int) -> Answer:
        digits = str(abs(value))
        forms = signed(value < 0, digits, digits + ".0", digits + ".", rf"{{{digits}}}")
        return Answer(Fraction(value), forms)

    return drawn(
        made(number),
        ("digit", made(other_digit(number, rng))),
        ("digit", made(number + rng.choice([-1, 1]))),
        ("sign", made(-number)),
        ("exponent", made(number * 10)),
    )


def thousands(rng: Random) -> Drawn:
    """Long whole numbers, their digits in groups."""
    low = 10 ** rng.randrange(4, 11)
    number = rng.choice([1, 1, -1]) * rng.randrange(low, 10 * low)

    def made(value: int) -> Answer:
        digits = str(abs(value))
        separators = (",", "{,}", r"\,", r",\!", " ", r"\ ", "\u202f", "\u00a0", r"\;", "~")
        forms = (digits, *(grouped(digits, separator) for separator in separators))
        return Answer(Fraction(value), signed(value < 0, *forms))

    return drawn(
        made(number),
        ("digit", made(other_digit(number, rng))),
        ("digit", made(other_digit(number, rng))),
        ("sign", made(-number)),
        ("exponent", made(int(number / 10))),
    )


def decimal(rng: Random) -> Drawn:
    """Up to five decimals, some below a thousandth."""
    places = rng.randrange(1, 6)
    number = rng.choice([1, 1, -1]) * rng.randrange(11, 99999)
    number += number % 10 == 0  # the last decimal is none that could be left out

    def made(value: int, places: int = places) -> Answer:
        digits = str(abs(value)).zfill(places + 1)
        plain = f"{digits[:-places]}.{digits[-places:]}"
        forms = [plain, plain + "0", rf"\frac{{{abs(value)}}}{{{10**places}}}"]
        forms += [plain.lstrip("0")] if plain[0] == "0" else [f"{plain}00"]
        return Answer(Fraction(value, 10**places), signed(value < 0, *forms))

    return drawn(
        made(number),
        ("digit", made(other_digit(number, rng))),
        ("digit", made(number + rng.choice([-1, 1]))),
        ("sign", made(-number)),
        ("exponent", made(number, places + 1)),
        ("separator", Answer(Fraction(number), (str(number),))),
    )


def fraction(rng: Random) -> Drawn:
    """Fractions in lowest terms."""
    below = rng.randrange(3, 200)
    above = next(
        a for a in iter(lambda: rng.randrange(1, 300), 0) if Fraction(a, below).denominator == below
    )
    number = rng.choice([1, 1, -1]) * Fraction(above, below)

    def made(value: Fraction) -> Answer:
        a, b = abs(value.numerator), value.denominator
        forms = [
            rf"\frac{{{a}}}{{{b}}}",
            f"{a}/{b}",
            rf"\dfrac{{{a}}}{{{b}}}",
            rf"\tfrac{{{a}}}{{{b}}}",
        ]
        forms += [rf"{a} / {b}", rf"\frac{{{3 * a}}}{{{3 * b}}}", rf"{{{a}}}/{{{b}}}"]
        forms += [rf"\frac{a}{b}"] if a < 10 and b < 10 else [rf"\frac {{{a}}} {{{b}}}"]
        written = signed(value < 0, *forms)
        turned = (rf"\frac{{-{a}}}{{{b}}}",) if value < 0 else ()
        return Answer(value, written + turned)

    return drawn(
        made(number),
        ("digit", made(Fraction(other_digit(number.numerator, rng), number.denominator))),
        ("digit", made(Fraction(number.numerator, other_digit(number.denominator, rng)))),
        ("sign", made(-number)),
        ("exponent", made(1 / number)),
    )


def mixed(rng: Random) -> Drawn:
    """Mixed numbers: a whole number and a proper fraction."""
    sign, head, below = (
        rng.choice([1, 1, -1]),
        rng.randrange(1, 40),
        rng.choice([2, 4, 5, 7, 8, 13]),
    )
    above = rng.randrange(1, below, 2 if below % 2 == 0 else 1)

    def made(head: int, above: int, sign: int = sign, below: int = below) -> Answer:
        total = head * below + above
        forms = [f"{head} {above}/{below}", rf"{head}\frac{{{above}}}{{{below}}}"]
        forms += [rf"{head} \dfrac{{{above}}}{{{below}}}", f"{total}/{below}"]
        forms += [rf"\frac{{{total}}}{{{below}}}", rf"{head}\ \frac{{{above}}}{{{below}}}"]
        vulgar = {(1, 2): "½", (1, 4): "¼", (3, 4): "¾"}.get((above, below))
        forms += [f"{head}{vulgar}"] if vulgar else []
        return Answer(sign * Fraction(total, below), signed(sign < 0, *forms))

    joined = Fraction(int(f"{head}{above}"), below)
    product = Fraction(head * above, below)
    return drawn(
        made(head, above),
        ("digit", made(other_digit(head, rng), above)),
        ("digit", made(head, below - above)),
        ("sign", made(head, above, -sign)),
        ("space", Answer(joined, (f"{head}{above}/{below}",))),
        ("bracket", Answer(product, (rf"{head} \cdot \frac{{{above}}}{{{below}}}",))),
    )


def scientific(rng: Random) -> Drawn:
    """A mantissa of one to four digits, an exponent between -34 and 34."""
    digits = rng.choice([rng.randrange(1, 10), rng.randrange(11, 100), rng.randrange(101, 10000)])
    digits += digits % 10 == 0
    exponent = rng.choice([-1, 1]) * rng.randrange(3, 35)
    sign = rng.choice([1, 1, 1, -1])

    def made(digits: int, exponent: int, sign: int = sign) -> Answer:
        text = str(digits)
        mantissa = text[0] + ("." + text[1:] if text[1:] else "")
        value = sign * Fraction(digits, 10 ** (len(text) - 1)) * Fraction(10) ** exponent
        forms = [rf"{mantissa} \times 10^{{{exponent}}}", f"{mantissa}e{exponent}"]
        forms += [f"{mantissa}E{exponent:+03d}", rf"{mantissa}\cdot 10^{{{exponent}}}"]
        forms += [f"{mantissa} {TIMES} 10{str(exponent).translate(SUPERSCRIPTS)}"]
        forms += [
            f"{mantissa}e{exponent:+d}",
            f"{mantissa} * 10^({exponent})",
            f"{mantissa}{TIMES}10^{{{exponent}}}",
        ]
        if 0 < exponent < 12 and exponent >= len(text):
            forms += [text + "0" * (exponent - len(text) + 1)]
        if -7 < exponent < 0:
            forms += ["0." + "0" * (-exponent - 1) + text]
        return Answer(value, signed(sign < 0, *forms))

    return drawn(
        made(digits, exponent),
        ("digit", made(other_digit(digits, rng), exponent)),
        ("exponent", made(digits, exponent + rng.choice([-2, -1, 1, 2]))),
        ("exponent", made(digits, -exponent)),
        ("sign", made(digits, exponent, -sign)),
    )


def full_width(rng: Random) -> Drawn:
    """Digits as they are typed beside Chinese and Japanese text."""
    made_of = rng.choice([whole, decimal, fraction])
    found = made_of(rng)

    def wide(answer: Answer) -> Answer:
        plain = [f for f in answer.forms if set(f) <= set("0123456789.-/") and f[-1] != "."]
        return Answer(answer.value, (*(f.translate(FULL_WIDTH) for f in plain), plain[0]))

    return drawn(wide(found.answer), *((change, wide(miss)) for change, miss in found.misses[:3]))


NUMBERS: dict[str, Shape] = {
    "whole": whole,
    "thousands": thousands,
    "decimal": decimal,
    "fraction": fraction,
    "mixed": mixed,
    "scientific": scientific,
    "full width": full_width,
}
