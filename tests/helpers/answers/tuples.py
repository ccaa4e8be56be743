"""Tuples, lists, sets, matrices; and near misses of them."""

from random import Random

from helpers.answers.drawing import (
    Answer,
    Drawn,
    Shape,
    drawn,
    other_digit,
)


def _numbers(rng: Random, count: int) -> list[int]:
    """Different numbers, none of them 0, in a random order."""
    return rng.sample([n for n in range(-30, 80) if n], count)


def _changed(entries: list[int], rng: Random) -> list[list[int]]:
    """Change one entry by a digit, and one by its sign."""
    at, other = rng.randrange(len(entries)), rng.randrange(len(entries))
    digit, sign = list(entries), list(entries)
    digit[at], sign[other] = other_digit(entries[at], rng), -entries[other]
    return [digit, sign]


def point(rng: Random) -> Drawn:
    """An ordered pair or triple."""
    entries = _numbers(rng, rng.choice([2, 2, 3]))

    def made(entries: list[int], ends: str = "()") -> Answer:
        if len(entries) == 1:
            return Answer(tuple(entries), (str(entries[0]),))
        inner = ", ".join(map(str, entries))
        opened, closed = ends[0], ends[1]
        forms = [opened + inner + closed, opened + inner.replace(" ", "") + closed]
        forms += [rf"\left{opened} {inner} \right{closed}", rf"{opened}\,{inner}\,{closed}"]
        if ends == "()":
            forms += [r"\begin{pmatrix} " + r" \\ ".join(map(str, entries)) + r" \end{pmatrix}"]
        return Answer((tuple(entries), ends), tuple(forms))

    digit, sign = _changed(entries, rng)
    pair = sorted(entries[:2])
    if rng.random() < 0.25:  # a pair that could be an interval, too
        return drawn(made(pair), ("bracket", made(pair, "[)")), ("bracket", made(pair, "(]")))
    misses = ("digit", made(digit)), ("sign", made(sign)), ("order", made(entries[::-1]))
    return drawn(made(entries), *misses, ("one less", made(entries[1:])))


def several(rng: Random) -> Drawn:
    """A list of numbers without brackets; their order says nothing."""
    entries = _numbers(rng, rng.choice([2, 3, 4]))

    def made(entries: list[int]) -> Answer:
        texts = [str(n) for n in entries]
        if len(texts) == 1:
            return Answer(frozenset(entries), (texts[0],))
        forms = [", ".join(texts), ",".join(texts), ", ".join(texts[::-1]), r",\ ".join(texts)]
        forms += [", ".join(texts[:-1]) + rf" \text{{ and }} {texts[-1]}"]
        forms += [", ".join(texts[:-1]) + f" and {texts[-1]}"]
        return Answer(frozenset(entries), tuple(forms))

    digit, sign = _changed(entries, rng)
    return drawn(
        made(entries), ("digit", made(digit)), ("sign", made(sign)), ("one less", made(entries[1:]))
    )


def hundreds(rng: Random) -> Drawn:
    """Two numbers of three digits, with a space between them: no number of six."""
    entries = rng.sample(range(100, 1000), 2)

    def made(entries: list[int]) -> Answer:
        a, b = entries
        forms = (
            f"{a}, {b}",
            rf"{a},\ {b}",
            rf"{a} \text{{ and }} {b}",
            f"{b}, {a}",
            f"{a} and {b}",
        )
        return Answer(frozenset(entries), forms)

    a, b = entries
    return drawn(
        made(entries),
        ("separator", Answer(a * 1000 + b, (f"{a}{b}", f"{a}{{,}}{b}"))),
        ("digit", made([a, other_digit(b, rng)])),
        ("one less", Answer(a, (str(a),))),
    )


def set_of(rng: Random) -> Drawn:
    """A set in braces; its order says nothing, but a tuple is something else."""
    entries = _numbers(rng, rng.choice([2, 3, 4]))

    def made(entries: list[int]) -> Answer:
        inner = ", ".join(map(str, entries))
        back = ", ".join(map(str, entries[::-1]))
        forms = [rf"\{{{inner}\}}", rf"\left\{{{inner}\right\}}", rf"\{{ {back} \}}"]
        forms += [rf"\{{{inner.replace(' ', '')}\}}"]
        return Answer(frozenset(entries), tuple(forms))

    digit, sign = _changed(entries, rng)
    as_point = Answer(("tuple", *entries), (f"({', '.join(map(str, entries))})",))
    return drawn(
        made(entries),
        ("digit", made(digit)),
        ("sign", made(sign)),
        ("bracket", as_point),
        ("one less", made(entries[1:])),
    )


def matrix(rng: Random) -> Drawn:
    """A 2 x 2 or 2 x 3 matrix."""
    width = rng.choice([2, 3])
    entries = _numbers(rng, 2 * width)

    def made(entries: list[int], width: int = width) -> Answer:
        rows = [entries[at : at + width] for at in range(0, len(entries), width)]
        inner = r" \\ ".join(" & ".join(map(str, row)) for row in rows)
        forms = [rf"\begin{{{name}}} {inner} \end{{{name}}}" for name in ("pmatrix", "bmatrix")]
        forms += [forms[0].replace(" & ", "&").replace(r" \\ ", r"\\")]
        return Answer(tuple(map(tuple, rows)), tuple(forms))

    digit, sign = _changed(entries, rng)
    across = [entries[row * width + column] for column in range(width) for row in range(2)]
    return drawn(
        made(entries),
        ("digit", made(digit)),
        ("sign", made(sign)),
        ("order", made(across, 2)),
    )


TUPLES: dict[str, Shape] = {
    "point": point,
    "several": several,
    "hundreds": hundreds,
    "set of": set_of,
    "matrix": matrix,
}
