"""Answers of known value, written in several ways, and others that differ in one place."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Answer:
    """An answer whose value its maker knows: two are equal if and only if their values are."""

    value: Hashable
    forms: tuple[str, ...]
    """Ways to write it, all of which say the same."""


@dataclass(frozen=True)
class Drawn:
    """An answer, and others that differ from it in one place; the key says in which."""

    answer: Answer
    misses: tuple[tuple[str, Answer], ...]


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS, TIMES, UNION = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{UNION}"
#: Draws an answer of one shape.
Shape = Callable[[Random], Drawn]


def drawn(answer: Answer, *misses: tuple[str, Answer]) -> Drawn:
    """Keep the misses that truly differ from the answer: their values say so, not a verifier."""
    return Drawn(answer, tuple(miss for miss in misses if miss[1].value != answer.value))


def other_digit(number: int, rng: Random) -> int:
    """Change one digit of a whole number; it keeps its sign and its length."""
    digits = list(str(abs(number)))
    place = rng.randrange(len(digits))
    least = 1 if place == 0 else 0
    digits[place] = str(rng.choice([d for d in range(least, 10) if str(d) != digits[place]]))
    return (-1 if number < 0 else 1) * int("".join(digits))


def grouped(digits: str, separator: str) -> str:
    """Write digits in groups of three, counted from the right."""
    head = len(digits) % 3
    groups = ([digits[:head]] if head else []) + [
        digits[at : at + 3] for at in range(head, len(digits), 3)
    ]
    return separator.join(groups)


def signed(negative: bool, *forms: str) -> tuple[str, ...]:
    """Put a minus before each form, written as a hyphen or as the sign itself."""
    if not negative:
        return forms
    return tuple(f"{MINUS if at % 4 == 3 else '-'}{form}" for at, form in enumerate(forms))
