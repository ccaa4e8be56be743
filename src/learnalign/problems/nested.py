"""Values inside a row: nested columns, and lists and objects stored as text."""

import ast
import json
import warnings
from collections.abc import Mapping
from typing import Any

#: Characters of a Python literal that is looked into.
_LITERAL = 1_000_000


def parsed(text: str) -> list[Any] | dict[Any, Any] | None:
    """Read a list or an object written as text, in JSON or as Python prints it.

    No code runs. Other text, and what is broken, is None.

    Example:
        >>> parsed('[{"a": 1}]'), parsed("{'a': None}"), parsed("[0, 1)"), parsed("x")
        ([{'a': 1}], {'a': None}, None, None)
    """
    text = text.strip()
    if not text or text[0] not in "[{" or text[-1] not in "]}":
        return None
    found: Any = None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if len(text) <= _LITERAL:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = ast.literal_eval(text)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    return None
    return found if isinstance(found, list | dict) else None


def value(row: Mapping[str, Any], name: str | None) -> Any:
    """Take a column's value; None where there is none.

    Dots reach into objects (and lists, by number), also those that stand there as text.

    Example:
        >>> value({"info": '{"golds": ["4", "5"]}'}, "info.golds.1")
        '5'
    """
    if name is None:
        return None
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        found = _within(found, part)
    return found


def has(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a row has a column, be its value null or not.

    Example:
        >>> has({"info": {"gold": None}}, "info.gold"), has({"info": {}}, "info.gold")
        (True, False)
    """
    if name in row:
        return True
    above, _, last = name.rpartition(".")
    return bool(above) and last in names_in(value(row, above))


def names_in(content: Any) -> list[str]:
    """Name what dots can reach inside a value."""
    if isinstance(content, str):
        content = parsed(content)
    if isinstance(content, list):
        return [str(place) for place in range(len(content))]
    return [str(key) for key in content] if isinstance(content, Mapping) else []


def empty(content: Any) -> bool:
    """Whether a value says nothing: null, NaN, blank text, a list or object without contents.

    Example:
        >>> [empty(x) for x in (None, float("nan"), " ", [], 0, False)]
        [True, True, True, True, False, False]
    """
    if isinstance(content, str):
        return not content.strip()
    if isinstance(content, float):
        return content != content
    return content is None or (isinstance(content, list | Mapping) and not content)


def _within(content: Any, part: str) -> Any:
    if isinstance(content, str):
        content = parsed(content)
    if isinstance(content, Mapping):
        return content.get(part)
    if isinstance(content, list) and part.isdecimal() and int(part) < len(content):
        return content[int(part)]
    return None
