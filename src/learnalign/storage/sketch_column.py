"""Sketches as an Arrow column: float16 rows to fixed-size binary, and back without a copy."""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

#: Little-endian float16 on every machine.
SKETCH_DTYPE = np.dtype("<f2")

Halves = NDArray[np.float16]


def sketch_field(name: str, size: int) -> pa.Field:
    """Return the field of a sketch column: ``2 * size`` bytes per row, described in its metadata.

    Example:
        >>> field = sketch_field("sketch", 8)
        >>> str(field.type), field.metadata
        ('fixed_size_binary[16]', {b'dtype': b'<f2', b'size': b'8'})
    """
    metadata = {"dtype": SKETCH_DTYPE.str, "size": str(size)}
    return pa.field(name, pa.binary(size * SKETCH_DTYPE.itemsize), metadata=metadata)


def to_column(rows: ArrayLike, valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Convert rows to a column.

    Args:
        rows: (n, d) numbers; float16 rows are not copied.
        valid: (n,) booleans, False for a null; None for no nulls.

    Returns:
        The column: n fixed-size binary values of 2d bytes.

    Example:
        >>> column = to_column([[1.0, -2.0], [0.0, 0.0]], valid=np.array([True, False]))
        >>> [value and from_bytes(value).tolist() for value in column.to_pylist()]
        [[1.0, -2.0], None]
    """
    values = np.ascontiguousarray(rows, dtype=SKETCH_DTYPE)
    count, size = values.shape
    known = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    kind = pa.binary(size * SKETCH_DTYPE.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(kind, count, [known, pa.py_buffer(values)])


def from_column(column: pa.Array | pa.ChunkedArray) -> tuple[Halves, NDArray[np.bool_]]:
    """View a column's rows as numbers; they are copied only if the column has several chunks.

    Args:
        column: n fixed-size binary values of 2d bytes.

    Returns:
        The (n, d) float16 rows, read-only, and (n,) booleans: False where the column is null. The
        contents of null rows are undefined.

    Example:
        >>> rows, valid = from_column(to_column([[1.0, 2.0], [3.0, 4.0]]).slice(1))
        >>> rows.tolist(), valid.tolist()
        ([[3.0, 4.0]], [True])
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    size, count = column.type.byte_width // SKETCH_DTYPE.itemsize, len(column)
    valid: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    data = column.buffers()[1]
    if count == 0 or data is None:
        return np.zeros((count, size), SKETCH_DTYPE), valid
    begin = column.offset * column.type.byte_width
    rows = np.frombuffer(data, SKETCH_DTYPE, count=count * size, offset=begin)
    return rows.reshape(count, size), valid


def from_bytes(value: bytes) -> Halves:
    """Decode one row's sketch, (d,) float16.

    Example:
        >>> from_bytes(bytes.fromhex("003c00c0")).tolist()
        [1.0, -2.0]
    """
    return np.frombuffer(value, SKETCH_DTYPE)
