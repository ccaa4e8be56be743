"""Intervals, inequalities, unions; and near misses of them."""

from fractions import Fraction
from random import Random

from helpers.answers.drawing import (
    UNION,
    Answer,
    Drawn,
    Shape,
    drawn,
    other_digit,
)

#: Lower and upper end (None: infinite), and whether each belongs to it.
Ends = tuple[Fraction | None, Fraction | None, bool, bool]


def _end(value: Fraction | None, sign: str = "") -> str:
    if value is None:
        return sign + r"\infty"
    a, b = abs(value.numerator), value.denominator
    return ("-" if value < 0 else "") + (str(a) if b == 1 else rf"\frac{{{a}}}{{{b}}}")


def _interval(ends: Ends) -> str:
    low, high, left, right = ends
    return f"{'[' if left else '('}{_end(low, '-')}, {_end(high)}{']' if right else ')'}"


def _inequality(ends: Ends, less: str = r"\le") -> str:
    low, high, left, right = ends
    before = "" if low is None else f"{_end(low)} {less if left else '<'} "
    after = "" if high is None else f" {less if right else '<'} {_end(high)}"
    return f"{before}x{after}"


def _range_forms(ends: Ends, first: str) -> tuple[str, ...]:
    text = _interval(ends)
    as_interval = (
        text,
        text.replace(", ", ","),
        rf"\left{text[:-1]}\right{text[-1]}",
        rf"x \in {text}",
    )
    as_inequality = (_inequality(ends), _inequality(ends, r"\leq"), _inequality(ends, "≤"))
    low, high, left, right = ends
    if low is None:
        as_inequality += (_end(high) + (r" \ge x" if right else " > x"),)
    if high is None:
        as_inequality += ((r"x \geq " if left else "x > ") + _end(low),)
    if first == "inequality":
        return as_inequality + as_interval[:1]
    # (a, b) alone may also be a point: no inequality is expected to be the same as that.
    return as_interval + (as_inequality[:1] if left or right or None in ends else ())


def _ends(rng: Random) -> Ends:
    first = Fraction(rng.randrange(-30, 30), rng.choice([1, 1, 1, 2, 3]))
    low, high = first, first + Fraction(rng.randrange(1, 40), rng.choice([1, 1, 2]))
    left, right = rng.random() < 0.5, rng.random() < 0.5
    kind = rng.choice(["both", "both", "up", "down"])
    if kind == "up":
        return low, None, left, False
    return (None, high, False, right) if kind == "down" else (low, high, left, right)


def _end_changes(ends: Ends, rng: Random) -> list[tuple[str, Ends]]:
    """Change a bracket, a digit and a sign; what is no longer an interval is left out."""
    low, high, left, right = ends
    found: list[tuple[str, Ends]] = []
    if low is not None:
        found += [("bracket", (low, high, not left, right))]
        found += [
            (
                "digit",
                (Fraction(other_digit(low.numerator, rng), low.denominator), high, left, right),
            )
        ]
        found += [("sign", (-low, high, left, right))]
    if high is not None:
        found += [
            ("bracket", (low, high, left, not right)),
            ("digit", (low, high + 1, left, right)),
        ]
        found += [("sign", (low, -high, left, right))]
    if low is None or high is None:
        found += [("bracket", (high, low, right, left))]  # the other way: x < 3 and x > 3
    whole = [(c, e) for c, e in found if e[0] is None or e[1] is None or e[0] < e[1]]
    return rng.sample(whole, min(4, len(whole)))


def interval(rng: Random) -> Drawn:
    """An interval, bounded or not; also said by an inequality."""
    ends = _ends(rng)
    misses = [(c, Answer(e, _range_forms(e, "interval"))) for c, e in _end_changes(ends, rng)]
    return drawn(Answer(ends, _range_forms(ends, "interval")), *misses)


def inequality(rng: Random) -> Drawn:
    """An inequality for x; also said by an interval."""
    ends = _ends(rng)
    misses = [(c, Answer(e, _range_forms(e, "inequality"))) for c, e in _end_changes(ends, rng)]
    return drawn(Answer(ends, _range_forms(ends, "inequality")), *misses)


def union(rng: Random) -> Drawn:
    """Two rays with a gap between them."""
    a = Fraction(rng.randrange(-20, 20))
    b, left, right = a + rng.randrange(1, 20), rng.random() < 0.5, rng.random() < 0.5

    def made(a: Fraction, b: Fraction, left: bool, right: bool, cup: str = r"\cup") -> Answer:
        lower, upper = (None, a, False, left), (b, None, right, False)
        low, high = _interval(lower), _interval(upper)
        forms = [f"{low} {cup} {high}", f"{low}{cup}{high}", f"{high} {cup} {low}"]
        forms[1] = forms[1].replace(", ", ",")
        forms += [rf"\left{low[:-1]}\right{low[-1]} {cup} \left{high[:-1]}\right{high[-1]}"]
        if cup == r"\cup":
            greater = (r"x \ge " if right else "x > ") + _end(b)
            forms += [rf"{_inequality(lower)} \text{{ or }} {greater}", f"{low} {UNION} {high}"]
        return Answer((a, b, left, right, cup), tuple(forms))

    return drawn(
        made(a, b, left, right),
        ("bracket", made(a, b, not left, right)),
        ("bracket", made(a, b, left, not right)),
        ("digit", made(a, b + 1, left, right)),
        ("digit", made(a - 1, b, left, right)),
        ("operator", made(a, b, left, right, r"\cap")),
    )


INTERVALS: dict[str, Shape] = {
    "interval": interval,
    "inequality": inequality,
    "union": union,
}
