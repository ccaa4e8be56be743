"""A seeded random sketch of a long vector: an unstructured projection that costs one pass.

The vector is cut into chunks of ``width`` values. Each chunk is shifted round by a random distance,
its values get random signs, and the chunks are summed into one row of ``width`` values; a count
sketch (random bucket, random sign) takes that row to ``size``. Every step is linear and keeps inner
products in expectation: ``E[<S x, S y>] = <x, y>`` (Charikar, Chen, Farach-Colton 2002; Weinberger
et al. 2009, feature hashing).
"""

from collections.abc import Iterable

import numpy as np
import torch

#: Values of the row that chunks are folded into, for each value of the sketch; more of them are
#: nearer to a count sketch of the whole vector.
FOLD = 16


class Sketch:
    """The linear map from ``num_values`` values to ``size``.

    Args:
        num_values: Values of the vector.
        size: d, values of the sketch.
        seed: The map is a function of (num_values, size, seed) alone, on every device.
        device: Where the vectors are.
        dtype: float32, or float64 for a float64 model.
        width: Values of the row that chunks are folded into; ``FOLD * size`` if None.

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
        #: Each chunk's shift, and where in a common run of random signs its own signs begin.
        self.shifts: list[int] = rng.integers(self.width, size=num_chunks).tolist()
        self.offsets: list[int] = rng.integers(self.width, size=num_chunks).tolist()
        self.source_signs = _signs(rng, 2 * self.width, device, dtype)
        #: Each chunk's own sign, which makes different chunks independent of each other.
        self.chunk_signs: list[int] = (rng.integers(2, size=num_chunks) * 2 - 1).tolist()

    def __call__(self, tensors: Iterable[torch.Tensor]) -> torch.Tensor:
        """Sketch the tensors, taken end to end in their order.

        Args:
            tensors: Of any shapes, ``num_values`` values in all.

        Returns:
            (size,) sketch, of the sketch's dtype.
        """
        rows = self.empty(1)
        place = 0
        for tensor in tensors:
            self.add(rows[0], tensor, place)
            place += tensor.numel()
        assert place == self.num_values, f"{place} values for a sketch of {self.num_values}"
        return self.finish(rows)[0]

    def empty(self, count: int) -> torch.Tensor:
        """Begin the sketches of ``count`` vectors: (count, width) zeros."""
        return torch.zeros(count, self.width, dtype=self.dtype, device=self.buckets.device)

    def add(
        self, row: torch.Tensor, values: torch.Tensor, place: int, *, scale: float = 1.0
    ) -> None:
        """Add a piece of a vector to its row.

        Args:
            row: (width,) row begun by `empty`, changed in place.
            values: The piece, of any shape and float dtype; products are formed in the row's.
            place: Where in the vector the piece begins.
            scale: The piece is multiplied by it.
        """
        values = values.reshape(-1)
        start = 0
        while start < len(values):
            chunk, column = divmod(place + start, self.width)
            count = min(len(values) - start, self.width - column)
            self._fold(row, values[start : start + count], chunk, column, scale)
            start += count

    def finish(self, rows: torch.Tensor) -> torch.Tensor:
        """Turn (count, width) rows into (count, size) sketches."""
        result = torch.zeros(len(rows), self.size, dtype=self.dtype, device=rows.device)
        return result.index_add_(1, self.buckets, rows * self.signs)

    def _fold(
        self, row: torch.Tensor, values: torch.Tensor, chunk: int, column: int, scale: float
    ) -> None:
        """Add values of one chunk, from ``column`` on, to the row they are shifted into."""
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
