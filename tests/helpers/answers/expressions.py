"""Expressions in x, equations, complex numbers; and near misses of them."""

from random import Random

from helpers.answers.drawing import (
    SUPERSCRIPTS,
    Answer,
    Drawn,
    Shape,
    drawn,
    other_digit,
)


def _nonzero(rng: Random, top: int = 20) -> int:
    return rng.choice([1, 1, -1]) * rng.randrange(1, top)


def _sum_of(terms: list[tuple[int, int]], power: str) -> str:
    """Write a polynomial in x, term by term: (coefficient, exponent)."""
    text = ""
    for factor, exponent in terms:
        size = "" if abs(factor) == 1 and exponent else str(abs(factor))
        high = str(exponent).translate(SUPERSCRIPTS) if power == "²" else power.format(exponent)
        variable = ("", "x")[exponent] if exponent < 2 else f"x{high}"
        sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
        text += sign + size + variable
    return text


def polynomial(rng: Random) -> Drawn:
    """Three terms in x."""
    high = rng.randrange(2, 7)
    terms = {high: _nonzero(rng), rng.randrange(1, high): _nonzero(rng), 0: _nonzero(rng)}

    def made(terms: dict[int, int]) -> Answer:
        down = [(terms[e], e) for e in sorted(terms, reverse=True)]
        forms = [_sum_of(down, power) for power in ("^{}", "^{{{}}}", "²")]
        forms += [_sum_of(down[::-1], "^{}"), forms[0].replace(" ", "")]
        code = [f"({f})" + ("", "*x", f"*x**{e}")[min(e, 2)] for f, e in down]
        forms += [" + ".join(code)]
        return Answer(tuple(down), tuple(forms))

    middle = sorted(terms)[1]
    first = terms | {high: other_digit(terms[high], rng)}
    raised = {(e + 1 if e == high else e): factor for e, factor in terms.items()}
    return drawn(
        made(terms),
        ("digit", made(first)),
        ("sign", made(terms | {middle: -terms[middle]})),
        ("exponent", made(raised)),
        ("digit", made(terms | {0: other_digit(terms[0], rng)})),
    )


def product(rng: Random) -> Drawn:
    """k (x - a) (x - b), also multiplied out; a bracket lost is another value."""
    times, a, b = rng.randrange(2, 9), _nonzero(rng, 12), _nonzero(rng, 12)

    def factor(zero: int) -> str:
        return f"(x {'-' if zero > 0 else '+'} {abs(zero)})"

    def made(times: int, a: int, b: int) -> Answer:
        value = ((times, 2), (-times * (a + b), 1), (times * a * b, 0))
        out = _sum_of([term for term in value if term[0]], "^{}")
        forms = (f"{times}{factor(a)}{factor(b)}", f"{times}{factor(b)}{factor(a)}")
        forms += (rf"{times} \left{factor(a)[:-1]}\right){factor(b)}", out)
        return Answer(value, forms)

    # times x - a (x - b) has no square.
    lost = Answer(
        ((times - a, 1), (a * b, 0)),
        (f"{times}x {'-' if a > 0 else '+'} {abs(a)}{factor(b)}",),
    )
    return drawn(
        made(times, a, b),
        ("digit", made(times, other_digit(a, rng), b)),
        ("sign", made(times, -a, b)),
        ("digit", made(other_digit(times, rng), a, b)),
        ("bracket", lost),
    )


def quotient(rng: Random) -> Drawn:
    """(x + a) / (x + b)."""
    a, b = rng.sample([n for n in range(-15, 16) if n], 2)

    def made(a: int, b: int) -> Answer:
        above, below = (_sum_of([(1, 1), (n, 0)], "") for n in (a, b))
        forms = (rf"\frac{{{above}}}{{{below}}}", f"({above})/({below})")
        forms += (
            rf"\dfrac{{{above}}}{{{below}}}",
            rf"\frac{{{above.replace(' ', '')}}}{{{below}}}",
        )
        return Answer((a, b), forms)

    # Another pair gives another function, unless both pairs cancel to 1.
    misses = [("digit", other_digit(a, rng), b), ("digit", a, other_digit(b, rng)), ("sign", -a, b)]
    kept = [(change, made(c, d)) for change, c, d in misses if c != d]
    above = _sum_of([(1, 1), (a, 0)], "")
    lost = Answer((a, b, "no brackets"), (f"{above}/({_sum_of([(1, 1), (b, 0)], '')})",))
    return drawn(made(a, b), *kept, ("bracket", lost))


def line(rng: Random) -> Drawn:
    """An equation solved for y, or x = number."""
    slope, height = _nonzero(rng), rng.choice([0, _nonzero(rng)])

    def made(slope: int, height: int) -> Answer:
        if height == 0:
            forms = [f"x = {slope}", f"x={slope}", str(slope)]
        else:
            right = _sum_of([(slope, 1), (height, 0)], "")
            forms = [
                f"y = {right}",
                f"y={right.replace(' ', '')}",
                f"y = {_sum_of([(height, 0), (slope, 1)], '')}",
            ]
        return Answer((slope, height), tuple(forms))

    return drawn(
        made(slope, height),
        ("digit", made(other_digit(slope, rng), height)),
        ("sign", made(-slope, height)),
        ("digit", made(slope, other_digit(height, rng)) if height else made(slope + 1, 0)),
    )


def complex_number(rng: Random) -> Drawn:
    """a + bi."""
    a, b = _nonzero(rng), _nonzero(rng)

    def made(a: int, b: int) -> Answer:
        size = "" if abs(b) == 1 else str(abs(b))
        sign = "-" if b < 0 else "+"
        forms = (
            f"{a} {sign} {size}i",
            f"{a}{sign}{size}i",
            f"{'-' if b < 0 else ''}{size}i {a:+d}",
        )
        return Answer((a, b), forms)

    return drawn(
        made(a, b),
        ("digit", made(other_digit(a, rng), b)),
        ("digit", made(a, other_digit(b, rng))),
        ("sign", made(a, -b)),
        ("sign", made(-a, b)),
    )


def plus_minus(rng: Random) -> Drawn:
    """A number and its opposite: one of them alone is not both."""
    number = rng.randrange(2, 60)

    def made(n: int) -> Answer:
        forms = (rf"\pm {n}", rf"x = \pm {n}", f"{n}, -{n}", rf"\pm{{{n}}}", f"-{n}, {n}", f"±{n}")
        return Answer(frozenset({n, -n}), forms)

    return drawn(
        made(number),
        ("digit", made(other_digit(number, rng))),
        ("sign", Answer(number, (str(number), f"x = {number}"))),
        ("sign", Answer(-number, (str(-number), f"x = -{number}"))),
    )


EXPRESSIONS: dict[str, Shape] = {
    "polynomial": polynomial,
    "product": product,
    "quotient": quotient,
    "line": line,
    "complex number": complex_number,
    "plus minus": plus_minus,
}
