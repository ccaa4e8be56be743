"""A seeded random sketch of a long vector: a random projection in one pass.

The vector is split into chunks of ``width`` values. Each chunk is rotated by a random distance, its
values get random signs, and the chunks are summed into one row of ``width`` values; a count sketch
(random bucket, random sign) reduces that row to ``size``. Every step is linear and preserves inner
products in expectation: ``E[<S x, S y>] = <x, y>`` (Charikar, Chen, Farach-Colton 2002; Weinberger
et al. 2009, feature hashing).
"""

from collections.abc import Iterable

import numpy as np
import torch

from learnalign.gradients.device import add_at

#: Width of the row that chunks are folded into, per value of the sketch; a wider row is closer to a
#: count sketch of the whole vector.
FOLD = 16


class Sketch:
    """The linear map from ``num_values`` values to ``size``.

    Args:
        num_values: Length of the vector.
        size: d, length of the sketch.
        seed: The map depends only on (num_values, size, seed), on every device.
        device: The vectors' device.
        dtype: float32, or float64 for a float64 model.
        width: Width of the row that chunks are folded into; ``FOLD * size`` if None.

    Example:
        >>> sketch = Sketch(10, 4, seed=0)
        >>> x = torch.arange(10.0)
        >>> torch.equal(sketch([x[:3], x[3:]]), sketch([x]))
        True
    """

    def __init__(
        self,
        num_values: int,
        size: int,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        width: int | None = None,
    ) -> None:
        self.num_values, self.size, self.dtype = num_values, size, dtype
        self.width = min(width or FOLD * size, max(num_values, 1))
        num_chunks = -(-num_values // self.width)
        rng = np.random.Generator(np.random.Philox(key=[seed, num_values]))
        #: (width,) bucket and sign of each value of the folded row.
        self.buckets = torch.from_numpy(rng.integers(size, size=self.width)).to(device)
        self.signs = _signs(rng, self.width, device, dtype)
        #: Each chunk's shift, and the start of its signs in a shared sequence of random signs.
        self.shifts: list[int] = rng.integers(self.width, size=num_chunks).tolist()
        self.offsets: list[int] = rng.integers(self.width, size=num_chunks).tolist()
        self.source_signs = _signs(rng, 2 * self.width, device, dtype)
        #: Each chunk's own sign, which makes different chunks independent of each other.
        self.chunk_signs: list[int] = (rng.integers(2, size=num_chunks) * 2 - 1).tolist()

    def __call__(self, tensors: Iterable[torch.Tensor]) -> torch.Tensor:
        """Sketch the concatenation of the tensors.

        Args:
            tensors: Tensors of any shape, ``num_values`` values in total.

        Returns:
            (size,) sketch of this object's dtype.
        """
        rows = self.empty(1)
        offset = 0
        for tensor in tensors:
            self.add(rows[0], tensor, offset)
            offset += tensor.numel()
        assert offset == self.num_values, f"{offset} values for a sketch of {self.num_values}"
        return self.finish(rows)[0]

    def empty(self, count: int) -> torch.Tensor:
        """Return empty rows for ``count`` vectors: (count, width) zeros."""
        return torch.zeros(count, self.width, dtype=self.dtype, device=self.buckets.device)

    def add(
        self, row: torch.Tensor, values: torch.Tensor, offset: int, *, scale: float = 1.0
    ) -> None:
        """Add a piece of a vector to its row.

        Args:
            row: (width,) row from `empty`, changed in place.
            values: The piece, of any shape and float dtype; products use the row's dtype.
            offset: Start of the piece in the vector.
            scale: Factor of the piece.
        """
        values = values.reshape(-1)
        start = 0
        while start < len(values):
            chunk, column = divmod(offset + start, self.width)
            count = min(len(values) - start, self.width - column)
            self._fold(row, values[start : start + count], chunk, column, scale)
            start += count

    def finish(self, rows: torch.Tensor) -> torch.Tensor:
        """Reduce (count, width) rows to (count, size) sketches."""
        result = torch.zeros(len(rows), self.size, dtype=self.dtype, device=rows.device)
        add_at(result, 1, self.buckets, rows * self.signs)
        return result

    def _fold(
        self, row: torch.Tensor, values: torch.Tensor, chunk: int, column: int, scale: float
    ) -> None:
        """Add one chunk's values, from ``column`` on, to the row at their shifted position."""
        begin = self.offsets[chunk] + column
        signs = self.source_signs[begin : begin + len(values)]
        target = (column + self.shifts[chunk]) % self.width
        head = min(len(values), self.width - target)
        sign = self.chunk_signs[chunk] * scale
        row[target : target + head].addcmul_(values[:head].to(self.dtype), signs[:head], value=sign)
        if head < len(values):
            tail = len(values) - head
            row[:tail].addcmul_(values[head:].to(self.dtype), signs[head:], value=sign)


def _signs(
    rng: np.random.Generator, count: int, device: torch.device | str, dtype: torch.dtype
) -> torch.Tensor:
    signs = rng.integers(2, size=count, dtype=np.int8) * 2 - 1
    return torch.from_numpy(signs).to(device=device, dtype=dtype)
