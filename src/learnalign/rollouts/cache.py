"""A key-value cache with room to grow: new tokens are written in place, without copying all."""

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

#: Tokens of room allocated at a time: the keys and values are copied once per this many steps.
_ROOM = 64


class PreallocatedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer of transformers' dynamic cache whose keys and values are the front of larger buffers.

    Args:
        keys: (B, heads, T, width) keys so far.
        values: (B, heads, T, width) values so far.
        repeats: How often each row is repeated; copies of a row are adjacent.

    Example:
        >>> first, more = torch.tensor([[[[1.0]]], [[[2.0]]]]), torch.ones(4, 1, 1, 1)
        >>> layer = PreallocatedLayer(first, first, repeats=2)
        >>> keys, _ = layer.update(more, more)
        >>> keys.flatten(1).tolist()
        [[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 1.0]]
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, *, repeats: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._copy(keys.repeat_interleave(repeats, 0), values.repeat_interleave(repeats, 0))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the keys and values of new tokens; return all of them."""
        begin, new = self._length, key_states.shape[-2]
        if begin + new > self._buffers[0].shape[-2]:
            self._copy(*self._front(), room=max(_ROOM, new))
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., begin : begin + new, :] = states
        self._length += new
        self.keys, self.values = front = self._front()
        return front

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only some rows."""
        keys, values = self._front()
        self._copy(keys[indices], values[indices])

    def _front(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the filled part of the buffers."""
        keys, values = self._buffers
        return keys[..., : self._length, :], values[..., : self._length, :]

    def _copy(self, keys: torch.Tensor, values: torch.Tensor, room: int = _ROOM) -> None:
        """Copy keys and values into buffers with room after them."""
        self._length = keys.shape[-2]
        self._buffers = tuple(
            states.new_empty(*states.shape[:-2], self._length + room, states.shape[-1])
            for states in (keys, values)
        )
        for buffer, states in zip(self._buffers, (keys, values), strict=True):
            buffer[..., : self._length, :] = states
        self.keys, self.values = self._front()


def repeat_cache(cache: Any, repeats: int) -> None:
    """Repeat each row of a model's cache, and give its plain layers room for more tokens.

    Layers of other kinds (sliding windows, recurrent states) are repeated as they are.
    """
    layers = getattr(cache, "layers", None)
    if layers is None:
        cache.batch_repeat_interleave(repeats)
        return
    for index, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layers[index] = PreallocatedLayer(layer.keys, layer.values, repeats=repeats)
        else:
            layer.batch_repeat_interleave(repeats)
