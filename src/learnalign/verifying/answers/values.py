"""The kinds of answers: numbers, quantities, lists, sets, intervals, names, words, choices."""

from dataclasses import dataclass
from typing import TypeAlias

from learnalign.verifying.answers.numbers import Number
from learnalign.verifying.answers.times import Clock, Date


@dataclass(frozen=True)
class Scalar:
    """A number or an expression, with its unit."""

    text: str
    number: Number | None = None
    unit: str | None = None

    def __str__(self) -> str:
        value = self.text if self.number is None else str(self.number)
        return value if self.unit is None else f"{value} {self.unit}"


@dataclass(frozen=True)
class Based:
    """A number with an explicit base."""

    digits: str
    base: int

    def __str__(self) -> str:
        return f"{self.digits} (base {self.base})"


@dataclass(frozen=True)
class Items:
    """Several values: a bare list, or values in brackets; a matrix is a list of rows."""

    items: tuple["Value", ...]
    brackets: str = ""
    """``()``, ``[]``, ``[)``, ``(]``, ``{}``, ``::`` (ratio), ``matrix``; empty for a bare list."""

    def __str__(self) -> str:
        inner = ", ".join(str(item) for item in self.items)
        ends = "[]" if self.brackets == "matrix" else self.brackets
        return f"{ends[:1]}{inner}{ends[1:]}"


@dataclass(frozen=True)
class Interval:
    """An interval of the real line, from ``low`` to ``high``."""

    low: Scalar
    high: Scalar
    has_low: bool
    has_high: bool

    def __str__(self) -> str:
        return f"{'(['[self.has_low]}{self.low}, {self.high}{')]'[self.has_high]}"


@dataclass(frozen=True)
class Region:
    """A union of intervals; ``name`` is the variable if it was written as an inequality."""

    intervals: tuple[Interval, ...]
    name: str | None = None

    def __str__(self) -> str:
        return " u ".join(str(interval) for interval in self.intervals)


#: Prefix of the names of counted things: 3 cats, 5 dogs.
COUNTED = "number of "


@dataclass(frozen=True)
class Named:
    """A value with a name: ``x = 3``."""

    name: str
    value: "Value"

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


@dataclass(frozen=True)
class Formula:
    """A relation or a matrix as a whole, to be judged by math-verify."""

    text: str
    is_understood: bool
    """Whether there is another reading, which takes precedence."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Choice:
    """The letter of an option, and its text if given."""

    letter: str
    text: str | None = None

    def __str__(self) -> str:
        return self.letter if self.text is None else f"({self.letter}) {self.text}"


@dataclass(frozen=True)
class Words:
    """Plain text."""

    text: str

    def __str__(self) -> str:
        return self.text


Value: TypeAlias = Scalar | Based | Items | Region | Named | Formula | Choice | Words | Clock | Date


def as_region(items: Items) -> Region | None:
    """Return a bracketed pair as an interval; None if it cannot be one."""
    low_high = [item for item in items.items if isinstance(item, Scalar)]
    if items.brackets not in ("()", "[]", "[)", "(]") or len(low_high) != 2 != len(items.items):
        return None
    has_low, has_high = items.brackets[0] == "[", items.brackets[1] == "]"
    return Region((Interval(low_high[0], low_high[1], has_low, has_high),))
