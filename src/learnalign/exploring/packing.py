"""Columns and texts as compressed blocks that the page unpacks when it needs them."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: JavaScript's typed array of each type of column.
_TYPES = {"float64": "Float64Array", "float32": "Float32Array", "int32": "Int32Array"}
_LEVEL = 6


def pack_columns(columns: Mapping[str, NDArray[Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Pack columns into one block.

    Args:
        columns: Arrays of any shape (flattened), float64, float32 or int32.

    Returns:
        For each column its name, JavaScript type, offset in bytes and length; and the block.

    Example:
        >>> described, block = pack_columns({"a": np.arange(3, dtype=np.int32)})
        >>> described
        [{'name': 'a', 'type': 'Int32Array', 'offset': 0, 'length': 3}]
        >>> np.frombuffer(gzip.decompress(block)[:12], np.int32).tolist()
        [0, 1, 2]
    """
    described, parts, offset = [], [], 0
    for name, values in columns.items():
        flat = np.ascontiguousarray(values).ravel()
        kind = _TYPES[str(flat.dtype)]
        data = flat.astype(flat.dtype.newbyteorder("<")).tobytes()
        described.append({"name": name, "type": kind, "offset": offset, "length": len(flat)})
        padding = -len(data) % 8
        parts += [data, bytes(padding)]
        offset += len(data) + padding
    return described, gzip.compress(b"".join(parts), _LEVEL, mtime=0)


def pack_json(value: Any) -> bytes:
    """Compress a value as JSON; the same value gives the same bytes.

    Example:
        >>> gzip.decompress(pack_json({"a": "<b>"})).decode()
        '{"a":"<b>"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return gzip.compress(text.encode("utf-8", "surrogatepass"), _LEVEL, mtime=0)


def pack_texts(name: str, items: Iterable[Any], size: int) -> Iterator[tuple[str, bytes]]:
    """Pack items into named blocks of ``size`` items each.

    Example:
        >>> [name for name, block in pack_texts("prompts", ["a", "b", "c"], 2)]
        ['prompts-0', 'prompts-1']
    """
    left = iter(items)
    number = 0
    while part := list(islice(left, size)):
        yield f"{name}-{number}", pack_json(part)
        number += 1
