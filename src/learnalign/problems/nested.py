"""Values inside a row: nested columns, and lists and objects stored as text."""

import ast
import json
import warnings
from collections.abc import Mapping
from typing import Any

#: Maximum characters of a Python literal to parse.
_LITERAL = 1_000_000


def parsed(text: str) -> list[Any] | dict[Any, Any] | None:
    """Parse a list or an object written as text, as JSON or as a Python literal.

    No code is executed. Returns None for other or invalid text.

    Example:
        >>> parsed('[{"a": 1}]'), parsed("{'a': None}"), parsed("[0, 1)"), parsed("x")
        ([{'a': 1}], {'a': None}, None, None)
    """
    text = text.strip()
    if not text or text[0] not in "[{" or text[-1] not in "]}":
        return None
    content: Any = None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        if len(text) <= _LITERAL:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    content = ast.literal_eval(text)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    return None
    return content if isinstance(content, list | dict) else None


def value(row: Mapping[str, Any], name: str | None) -> Any:
    """Return a column's value; None if it is missing.

    Dots select inside objects (and lists, by index), including those written as text.

    Example:
        >>> value({"info": '{"golds": ["4", "5"]}'}, "info.golds.1")
        '5'
    """
    if name is None:
        return None
    if name in row:
        return row[name]
    content: Any = row
    for part in name.split("."):
        content = _child(content, part)
    return content


def has(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a row has a column, even if its value is null.

    Example:
        >>> has({"info": {"gold": None}}, "info.gold"), has({"info": {}}, "info.gold")
        (True, False)
    """
    if name in row:
        return True
    parent, _, last = name.rpartition(".")
    return bool(parent) and last in names_in(value(row, parent))


def names_in(content: Any) -> list[str]:
    """List the names that a dot can select inside a value."""
    if isinstance(content, str):
        content = parsed(content)
    if isinstance(content, list):
        return [str(index) for index in range(len(content))]
    return [str(key) for key in content] if isinstance(content, Mapping) else []


def empty(content: Any) -> bool:
    """Return whether a value is empty: null, NaN, blank text, an empty list or object.

    Example:
        >>> [empty(x) for x in (None, float("nan"), " ", [], 0, False)]
        [True, True, True, True, False, False]
    """
    if isinstance(content, str):
        return not content.strip()
    if isinstance(content, float):
        return content != content
    return content is None or (isinstance(content, list | Mapping) and not content)


def _child(content: Any, part: str) -> Any:
    if isinstance(content, str):
        content = parsed(content)
    if isinstance(content, Mapping):
        return content.get(part)
    if isinstance(content, list) and part.isdecimal() and int(part) < len(content):
        return content[int(part)]
    return None
