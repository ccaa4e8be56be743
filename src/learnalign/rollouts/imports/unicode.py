"""Replace halves of characters, which JSON can have and neither a table nor a tokenizer accepts."""

import re
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")


def repaired(content: Any) -> Any:
    r"""Replace each lone surrogate in the texts of a JSON value by U+FFFD.

    Returns:
        The same object if there is none.

    Example:
        >>> repaired({"completion": ["a\ud83d", 1]}) == {"completion": ["a\ufffd", 1]}
        True
        >>> row = {"completion": "whole"}
        >>> repaired(row) is row
        True
    """
    if isinstance(content, str):
        return content if content.isascii() else _HALF.sub("\ufffd", content)
    if isinstance(content, dict):
        parts = [part for pair in content.items() for part in pair]
        new: Any = [repaired(part) for part in parts]
        return dict(zip(new[::2], new[1::2], strict=True)) if _differs(parts, new) else content
    if isinstance(content, list) and content and not isinstance(content[0], int | float):
        new = [repaired(value) for value in content]
        return new if _differs(content, new) else content
    return content


def _differs(old: list[Any], new: list[Any]) -> bool:
    return any(a is not b for a, b in zip(old, new, strict=True))
