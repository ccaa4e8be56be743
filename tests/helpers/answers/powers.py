"""Powers, factorials, logarithms, roots, multiples of pi; and near misses of them."""

from fractions import Fraction
from random import Random

from helpers.answers.drawing import (
    SUPERSCRIPTS,
    Answer,
    Drawn,
    Shape,
    drawn,
    other_digit,
    signed,
)


def power(rng: Random) -> Drawn:
    """Powers and their reciprocals, far from 1."""
    base, exponent = rng.choice([2, 3, 5, 7, 11, 12]), rng.randrange(20, 160)
    below, sign = rng.random() < 0.5, rng.choice([1, 1, -1])

    def made(base: int, exponent: int, sign: int = sign, below: bool = below) -> Answer:
        # A base that is itself a power needs no care here: the value is the whole number.
        value = sign * (Fraction(1, base**exponent) if below else Fraction(base**exponent))
        plain = rf"{base}^{{{exponent}}}"
        if below:
            forms = [rf"\frac{{1}}{{{plain}}}", rf"{base}^{{-{exponent}}}", f"1/{plain}"]
            forms += [rf"\frac{{{base}}}{{{base}^{{{exponent + 1}}}}}", rf"{base}**(-{exponent})"]
        else:
            forms = [plain, f"{base}**{exponent}", f"{base}^({exponent})"]
            forms += [
                rf"{base} \cdot {base}^{{{exponent - 1}}}",
                f"{base}{str(exponent).translate(SUPERSCRIPTS)}",
            ]
        return Answer(value, signed(sign < 0, *forms))

    return drawn(
        made(base, exponent),
        ("exponent", made(base, exponent + rng.choice([-2, -1, 1, 2]))),
        ("exponent", made(base, exponent, below=not below)),
        ("digit", made(base + rng.choice([-1, 1]) if base > 2 else 3, exponent)),
        ("sign", made(base, exponent, -sign)),
    )


def square(rng: Random) -> Drawn:
    """Small powers, their exponents in superscripts: 5² is not 52."""
    base, exponent = rng.randrange(3, 13), rng.randrange(2, 5)

    def made(base: int, exponent: int) -> Answer:
        high = str(exponent).translate(SUPERSCRIPTS)
        forms = (
            f"{base}^{exponent}",
            f"{base}{high}",
            f"{base}^{{{exponent}}}",
            str(base**exponent),
        )
        return Answer(Fraction(base**exponent), forms)

    return drawn(
        made(base, exponent),
        ("digit", made(other_digit(base, rng), exponent)),
        ("exponent", made(base, exponent + 1)),
        ("exponent", Answer(Fraction(int(f"{base}{exponent}")), (f"{base}{exponent}",))),
    )


def factorial(rng: Random) -> Drawn:
    """Reciprocals of factorials: nothing but exact arithmetic tells them from 0."""
    number, sign = rng.choice([6, 9, 20, 60, 170, 500]), rng.choice([1, 1, -1])

    def made(number: int, above: int = 1, sign: int = sign) -> Answer:
        forms = [
            rf"\frac{{{above}}}{{{number}!}}",
            f"{above}/{number}!",
            rf"\dfrac{{{above}}}{{{number}!}}",
        ]
        value = Fraction(sign * above)
        for factor in range(2, number + 1):
            value /= factor
        return Answer(value, signed(sign < 0, *forms))

    return drawn(
        made(number),
        ("digit", made(number + rng.choice([-1, 1]))),
        ("digit", made(number, 2)),
        ("sign", made(number, sign=-sign)),
    )


def logarithm(rng: Random) -> Drawn:
    """Logarithms of one prime to the base of another, and natural ones: no two are the same."""
    base, number = rng.sample([2, 3, 5, 7, 11, 13], 2)
    natural = rng.random() < 0.5

    def made(base: int, number: int, sign: int = 1) -> Answer:
        function = r"\ln" if natural else rf"\log_{{{base}}}"
        forms = (f"{function} {number}", rf"{function}({number})", rf"{function}{{{number}}}")
        forms += (rf"{function} \left({number}\right)",)
        return Answer((natural or base, number, sign), signed(sign < 0, *forms))

    another = rng.choice([n for n in (17, 19, 23) if n != number])
    return drawn(
        made(base, number),
        ("digit", made(base, another)),
        ("digit", made(another, number)),
        ("order", made(number, base)),
        ("sign", made(base, number, -1)),
    )


def root(rng: Random) -> Drawn:
    """a + b times the square root of a number without a square factor: one value, one triple."""
    apart = rng.choice([0, 0, rng.randrange(1, 20)])
    times, under = rng.choice([1, 1, -1]) * rng.randrange(2, 30), rng.choice([2, 3, 5, 6, 7, 10])

    def made(apart: int, times: int, under: int) -> Answer:
        head, size = f"{apart} " if apart else "", abs(times)
        sign = ("- " if times < 0 else "+ ") if apart else ("-" if times < 0 else "")
        roots = [rf"{size}\sqrt{{{under}}}", rf"{size} \sqrt{{{under}}}", f"{size}*sqrt({under})"]
        roots += [rf"{size} \cdot \sqrt{{{under}}}", rf"\sqrt{{{size * size * under}}}"]
        roots += [f"{size}√{under}", rf"{size}\sqrt({under})"]
        roots += [rf"{size}\sqrt{under}"] if under < 10 else []
        return Answer((apart, times, under), tuple(head + sign + form for form in roots))

    return drawn(
        made(apart, times, under),
        ("digit", made(apart, other_digit(times, rng), under)),
        ("digit", made(apart, times, 11 if under == 10 else 13)),
        ("sign", made(apart, -times, under)),
        ("digit", made(apart + 1, times, under)),
    )


def of_pi(rng: Random) -> Drawn:
    """Rational multiples of a power of pi."""
    number = rng.choice([1, 1, -1]) * Fraction(rng.randrange(2, 90), rng.choice([1, 1, 2, 3, 5, 7]))
    height = rng.choice([1, 1, 1, 2])

    def made(number: Fraction, height: int) -> Answer:
        a, b = abs(number.numerator), number.denominator
        if height == 0:
            forms = [str(a) if b == 1 else rf"\frac{{{a}}}{{{b}}}"]
        elif b == 1:
            pi = r"\pi" if height == 1 else r"\pi^2"
            forms = [f"{a}{pi}", rf"{a} {pi}", rf"{a} \cdot {pi}"]
            forms += [
                f"{a}π" if height == 1 else f"{a}π²",
                f"{a}*pi" + ("^2" if height == 2 else ""),
            ]
        else:
            pi = r"\pi" if height == 1 else r"\pi^{2}"
            top = "" if a == 1 else a
            forms = [rf"\frac{{{top}{pi}}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}{pi}", rf"{top}{pi}/{b}"]
            forms += [rf"\dfrac{{{top}{pi}}}{{{b}}}"] + ([f"{top}π/{b}"] if height == 1 else [])
        return Answer((number, height), signed(number < 0, *forms))

    return drawn(
        made(number, height),
        ("digit", made(Fraction(other_digit(number.numerator, rng), number.denominator), height)),
        ("exponent", made(number, 3 - height)),
        ("exponent", made(number, 0)),
        ("sign", made(-number, height)),
    )


POWERS: dict[str, Shape] = {
    "power": power,
    "square": square,
    "factorial": factorial,
    "logarithm": logarithm,
    "root": root,
    "of pi": of_pi,
}
