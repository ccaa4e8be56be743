"""Values as JSON: plain data keep their type, everything else is left to a hook.

What crosses the border of a sandbox is data and never code: there is no pickle, and a subclass of a
plain type arrives as that type, so an overridden ``__eq__`` stays behind.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

#: Levels of nesting; deeper values (and cyclic ones) are refused.
_MAX_DEPTH = 150
#: Items taken from a generator or another iterator.
_MAX_ITEMS = 1_000_000
_LARGE = 1 << 64


class NotPlainError(ValueError):
    """The value is not plain data, and no hook took it."""


class Elsewhere:
    """Stands for an object of another process, and is never encoded as data."""


def _refuse(value: Any) -> Any:
    raise NotPlainError(f"a value of type {type(value).__name__}")


def encode(value: Any, other: Callable[[Any], Any] = _refuse, depth: int = 0) -> Any:
    """Encode a value as JSON: scalars and lists as they are, other types as {"t": type, "v": ...}.

    Args:
        value: Plain data: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
            dict, range, deque, iterators, NumPy arrays (as lists), at any depth.
        other: Encodes any other object.
        depth: Current level of nesting.

    Raises:
        NotPlainError: by the default hook, and for values nested too deeply.

    Example:
        >>> encode([1, (2.5, "a")])
        [1, {'t': 'tuple', 'v': [2.5, 'a']}]
        >>> decode(encode({"a": {1, 2}, (3,): b"x"}))
        {'a': {1, 2}, (3,): b'x'}
    """
    if depth > _MAX_DEPTH:
        raise NotPlainError("a value nested too deeply, or one that contains itself")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if -_LARGE < number < _LARGE else {"t": "int", "v": hex(number)}
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, list):
        return [encode(item, other, depth + 1) for item in list.__iter__(value)]
    return _encode_tagged(value, other, depth)


def _encode_tagged(value: Any, other: Callable[[Any], Any], depth: int) -> Any:
    if isinstance(value, Elsewhere):  # although it has the methods of an iterator
        return other(value)
    for kind in (tuple, set, frozenset, deque):
        if isinstance(value, kind):
            items = [encode(item, other, depth + 1) for item in _items(kind, value)]
            return {"t": kind.__name__, "v": items}
    if isinstance(value, dict):
        pairs = dict.items(value)
        items = [[encode(k, other, depth + 1), encode(v, other, depth + 1)] for k, v in pairs]
        return {"t": "dict", "v": items}
    if isinstance(value, bytes | bytearray):
        return {"t": type(value).__name__, "v": bytes(value).hex()}
    if isinstance(value, complex):
        return {"t": "complex", "v": [value.real, value.imag]}
    if isinstance(value, range):
        return {"t": "range", "v": [value.start, value.stop, value.step]}
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return encode(value.tolist(), other, depth + 1)
    if isinstance(value, Iterator | type({}.keys()) | type({}.values()) | type({}.items())):
        items = [encode(item, other, depth + 1) for item in _first(value)]
        return {"t": "iterator" if isinstance(value, Iterator) else "list", "v": items}
    return other(value)


def _items(kind: Any, value: Any) -> Any:
    """Iterate over a collection as its plain type does, whatever a subclass says."""
    return kind.__iter__(value)


def _first(value: Any) -> Iterator[Any]:
    for count, item in enumerate(value):
        if count >= _MAX_ITEMS:
            raise NotPlainError("an iterator that does not end")
        yield item


def _unknown(tag: str, content: Any) -> Any:
    raise NotPlainError(f"a value of the unknown type {tag}")


_BUILD: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "list": list,
    "iterator": iter,
}


def decode(code: Any, other: Callable[[str, Any], Any] = _unknown) -> Any:
    """Decode what `encode` made.

    Args:
        code: JSON.
        other: Decodes the types that are not plain data, from their name and content.

    Raises:
        NotPlainError, TypeError, ValueError, KeyError: if ``encode`` cannot have made it.
    """
    if isinstance(code, list):
        return [decode(item, other) for item in code]
    if not isinstance(code, dict):
        return code
    tag, content = code["t"], code["v"]
    if tag == "dict":
        return {decode(key, other): decode(item, other) for key, item in content}
    if tag in _BUILD:
        return _BUILD[tag]([decode(item, other) for item in content])
    if tag == "int":
        return int(content, 16)
    if tag in ("bytes", "bytearray"):
        return bytes.fromhex(content) if tag == "bytes" else bytearray.fromhex(content)
    if tag == "complex":
        return complex(*content)
    if tag == "range":
        return range(*content)
    return other(tag, content)


def decode_line(line: bytes) -> list[Any]:
    """Return the message of a line."""
    message: list[Any] = json.loads(line)
    return message
