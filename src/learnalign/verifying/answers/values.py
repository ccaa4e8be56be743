"""What an answer can say: numbers, quantities, lists, sets, intervals, names, words, choices."""

from dataclasses import dataclass
from typing import TypeAlias

from learnalign.verifying.answers.numbers import Number
from learnalign.verifying.answers.times import Clock, Date


@dataclass(frozen=True)
class Scalar:
    """A number or an expression, with the unit that it came with."""

    text: str
    number: Number | None = None
    unit: str | None = None

    def __str__(self) -> str:
        said = self.text if self.number is None else str(self.number)
        return said if self.unit is None else f"{said} {self.unit}"


@dataclass(frozen=True)
class Based:
    """A number in a base that was named."""

    digits: str
    base: int

    def __str__(self) -> str:
        return f"{self.digits} (base {self.base})"


@dataclass(frozen=True)
class Items:
    """Several values: a bare list, or what brackets hold; a matrix is a list of its rows."""

    items: tuple["Value", ...]
    brackets: str = ""
    """``()``, ``[]``, ``[)``, ``(]``, ``{}``, ``matrix``, or nothing for a bare list."""

    def __str__(self) -> str:
        inner = ", ".join(str(item) for item in self.items)
        ends = "[]" if self.brackets == "matrix" else self.brackets
        return f"{ends[:1]}{inner}{ends[1:]}"


@dataclass(frozen=True)
class Interval:
    """A piece of the real line, from ``low`` to ``high``."""

    low: Scalar
    high: Scalar
    has_low: bool
    has_high: bool

    def __str__(self) -> str:
        return f"{'(['[self.has_low]}{self.low}, {self.high}{')]'[self.has_high]}"


@dataclass(frozen=True)
class Region:
    """A union of intervals; ``name`` is the variable, where it came as an inequality."""

    intervals: tuple[Interval, ...]
    name: str | None = None

    def __str__(self) -> str:
        return " u ".join(str(interval) for interval in self.intervals)


#: What a name begins with that says what was counted: 3 cats, 5 dogs.
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
    """A relation or a matrix as a whole, as math-verify is to judge it."""

    text: str
    is_understood: bool
    """Whether there is another reading, which goes before it."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Choice:
    """A letter of several options, and the option's text where it was said."""

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
    """Return a bracketed pair as an interval, if it may be one."""
    low_high = [item for item in items.items if isinstance(item, Scalar)]
    if items.brackets not in ("()", "[]", "[)", "(]") or len(low_high) != 2 != len(items.items):
        return None
    has_low, has_high = items.brackets[0] == "[", items.brackets[1] == "]"
    return Region((Interval(low_high[0], low_high[1], has_low, has_high),))
