"""A key-value cache of fixed shape and address, as CUDA graphs need it.

A layer's keys are the front of one flat buffer, seen as (rows, heads, length, width); its values
likewise. When rows finish or the length is used up, the same memory is seen in another shape.
"""

from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer, StaticLayer


def is_plain(cache: Any) -> bool:
    """Say whether all layers of a model's cache keep all keys and values, and nothing else."""
    return (
        type(cache) is DynamicCache
        and not getattr(cache, "offloading", False)
        and len(cache.layers) > 0
        and all(
            type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None
            for layer in cache.layers
        )
    )


class FixedLayer(StaticLayer):
    """A layer of a transformers cache that writes one token to a place given by a tensor.

    Args:
        keys: (B, heads, T, width) memory for keys.
        values: (B, heads, T, width) memory for values.
        place: (1,) int64, where the next token goes; the owner advances it once for all layers.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, place: torch.Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[-2])  # type: ignore[no-untyped-call]
        self.keys, self.values, self.place = keys, values, place
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a token's (B, heads, 1, width) keys and values; return all, unused ones too."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> torch.Tensor:  # type: ignore[override]
        """Return the number of tokens so far, as a tensor: reading it would make the CPU wait."""
        return self.place


class FixedStore:
    """The memory of a cache of fixed shapes.

    Args:
        like: A filled dynamic cache of the model, for heads, widths and dtypes.
        capacity: Largest number of rows times length.
    """

    def __init__(self, like: Any, capacity: int) -> None:
        self.capacity = capacity
        self._buffers = [
            [
                _Buffer(states.new_empty(capacity * states.shape[1] * states.shape[3]), *sizes)
                for states, sizes in (
                    (layer.keys, (layer.keys.shape[1], layer.keys.shape[3])),
                    (layer.values, (layer.values.shape[1], layer.values.shape[3])),
                )
            ]
            for layer in like.layers
        ]

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the keys."""
        return self._buffers[0][0].flat.dtype

    def cache(self, rows: int, length: int, place: torch.Tensor) -> Cache:
        """Return the memory as a transformers cache of ``rows`` rows and ``length`` tokens."""
        layers: list[Any] = [
            FixedLayer(keys.seen_as(rows, length), values.seen_as(rows, length), place)
            for keys, values in self._buffers
        ]
        return Cache(layers=layers)

    def fill(self, cache: Any, index: torch.Tensor, length: int) -> None:
        """Write the prompts' keys and values, so that row i has those of prompt ``index[i]``."""
        for layer, buffers in zip(cache.layers, self._buffers, strict=True):
            for buffer, states in zip(buffers, (layer.keys, layer.values), strict=True):
                buffer.write(states.index_select(0, index), length)

    def move(
        self, before: tuple[int, int], length: int, index: torch.Tensor, num_filled: int
    ) -> None:
        """Keep some rows, at another length.

        Args:
            before: Rows and length so far.
            length: New length.
            index: (B,) int64, the rows to keep.
            num_filled: Tokens so far.
        """
        for buffers in self._buffers:
            for buffer in buffers:
                kept = buffer.seen_as(*before)[:, :, :num_filled].index_select(0, index)
                buffer.write(kept, length)


class _Buffer:
    """Flat memory for the keys or the values of one layer."""

    def __init__(self, flat: torch.Tensor, heads: int, width: int) -> None:
        self.flat, self.heads, self.width = flat, heads, width

    def seen_as(self, rows: int, length: int) -> torch.Tensor:
        """Return the front of the memory as (rows, heads, length, width)."""
        shape = (rows, self.heads, length, self.width)
        return self.flat[: rows * self.heads * length * self.width].view(shape)

    def write(self, states: torch.Tensor, length: int) -> None:
        """Write (B, heads, T, width) states, and zeros after them.

        What follows is masked, but a weight of zero times a NaN left there would still be NaN.
        """
        view = self.seen_as(len(states), length)
        view[:, :, : states.shape[2]] = states
        view[:, :, states.shape[2] :] = 0.0
