"""The tests of a code problem, in one form for all data sets."""

import ast
import builtins
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from learnalign.problems.nested import parsed

#: What `ast.parse` raises for text that is no program.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class InputTest:
    """The program reads ``input`` and must print ``output``."""

    input: str
    output: str


@dataclass(frozen=True)
class CallTest:
    """A function, called with ``arguments``, must return one of ``expected``."""

    arguments: tuple[Any, ...]
    expected: tuple[Any, ...]
    """Values any of which is right; empty if the reference solution's value is."""
    absolute: float = 0.0
    """Difference up to which two numbers are equal, besides a relative one of 1e-6."""
    rule: Literal["value", "set", "none", "root"] = "value"
    """Compare values, sets of items, whether there is a value, or find a polynomial's root."""


@dataclass(frozen=True)
class ScriptTest:
    """Code that calls the program and raises an exception if a result is wrong."""

    code: str


Test = InputTest | CallTest | ScriptTest


@dataclass(frozen=True)
class Suite:
    """The tests of a problem, and what else decides whether a program passes."""

    format: str
    tests: tuple[Test, ...]
    entry_point: str | None = None
    """Name of the function under test, if the data set names it."""
    prefix: str = ""
    """The beginning of the program that the prompt shows, which a completion may continue."""
    references: tuple[str, ...] = ()
    """Programs that the data set says are right."""

    @property
    def names(self) -> list[str]:
        """Names that the tests take from the program even if they are names of built-in functions.

        Example:
            >>> Suite("x", (), references=("def sum(a, b): return a + b",)).names
            ['sum']
        """
        if self.entry_point:
            return [self.entry_point]
        defined = re.findall(r"^def (\w+)", "\n".join(self.references), re.MULTILINE)
        return sorted(set(defined) & set(dir(builtins)))

    def limited(self, count: int | None) -> "Suite":
        """Return the suite with its first ``count`` tests; None keeps all."""
        return self if count is None else replace(self, tests=self.tests[:count])


class UnreadableTestsError(ValueError):
    """Tests that cannot be read, with the reason."""


def content(value: Any) -> Any:
    r"""Return a value that may be written as JSON text (also twice), a tuple or an array.

    Example:
        >>> content('{"inputs": ["1"]}'), content("assert f(1)"), content(r'"[\"a\"]"')
        ({'inputs': ['1']}, 'assert f(1)', ['a'])
    """
    if isinstance(value, str):
        found = parsed(value)
        if found is None and value.startswith('"'):
            with suppress(ValueError, RecursionError):
                found = parsed(json.loads(value))
        return value if found is None else found
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value


def json_text(value: Any) -> str:
    """Write a value as JSON: arrays and numbers of NumPy as what they hold, dates as text.

    Example:
        >>> import numpy as np
        >>> json_text({"inputs": np.array([{"n": np.int64(1)}, "2"], dtype=object)})
        '{"inputs": [{"n": 1}, "2"]}'
    """
    return json.dumps(value, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x))


def statements(text: Any) -> list[ast.stmt]:
    r"""Return the statements of a text that is Python with assertions; none for other text.

    Example:
        >>> [type(node).__name__ for node in statements("import math\nassert f(1)")]
        ['Import', 'Assert']
        >>> statements("I assert that it is 4."), statements("x = 4")
        ([], [])
    """
    if not isinstance(text, str) or "assert" not in text:
        return []
    with warnings.catch_warnings(), suppress(*UNPARSABLE):
        warnings.simplefilter("ignore")
        return ast.parse(text).body
    return []


def text_of(value: Any) -> str:
    r"""Return an input or output as text: lists are lines, other values are written as JSON.

    Example:
        >>> text_of(["3", "1 2"]), text_of(7), text_of("a")
        ('3\n1 2', '7', 'a')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return "\n".join(map(str, value))
    return json.dumps(value)


def first_text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first of some columns that holds text; empty without one."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def texts(value: Any) -> tuple[str, ...]:
    """Return one or several programs as a tuple of texts."""
    value = content(value)
    items = value if isinstance(value, list) else [value]
    return tuple(item for item in items if isinstance(item, str) and item.strip())
