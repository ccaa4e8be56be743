"""Keys and values with room to grow: one more token is written in place, not a copy of them all."""

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

#: Tokens of room that are made at a time: one copy of the keys and values for as many steps.
_ROOM = 64


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer of transformers' dynamic cache whose keys and values are the front of a larger store.

    Args:
        keys: (B, heads, T, width) keys so far.
        values: (B, heads, T, width) values so far.
        repeats: How often each row is repeated, one behind the other.

    Example:
        >>> first, more = torch.tensor([[[[1.0]]], [[[2.0]]]]), torch.ones(4, 1, 1, 1)
        >>> layer = RoomyLayer(first, first, repeats=2)
        >>> keys, _ = layer.update(more, more)
        >>> keys.flatten(1).tolist()
        [[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 1.0]]
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, *, repeats: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._keep(keys.repeat_interleave(repeats, 0), values.repeat_interleave(repeats, 0))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the keys and values of new tokens behind the others; give all of them."""
        begin, new = self._length, key_states.shape[-2]
        if begin + new > self._stores[0].shape[-2]:
            self._keep(*self._front(), room=max(_ROOM, new))
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[..., begin : begin + new, :] = states
        self._length += new
        self.keys, self.values = front = self._front()
        return front

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only some rows."""
        keys, values = self._front()
        self._keep(keys[indices], values[indices])

    def _front(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the part of the stores that is filled."""
        keys, values = self._stores
        return keys[..., : self._length, :], values[..., : self._length, :]

    def _keep(self, keys: torch.Tensor, values: torch.Tensor, room: int = _ROOM) -> None:
        """Copy keys and values into stores with room behind them."""
        self._length = keys.shape[-2]
        self._stores = tuple(
            states.new_empty(*states.shape[:-2], self._length + room, states.shape[-1])
            for states in (keys, values)
        )
        for store, states in zip(self._stores, (keys, values), strict=True):
            store[..., : self._length, :] = states
        self.keys, self.values = self._front()


def repeat_with_room(cache: Any, repeats: int) -> None:
    """Repeat each row of a model's cache, and give its plain layers room for the tokens to come.

    Layers of other kinds (sliding windows, recurrent states) are repeated as they are.
    """
    layers = getattr(cache, "layers", None)
    if layers is None:
        cache.batch_repeat_interleave(repeats)
        return
    for place, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layers[place] = RoomyLayer(layer.keys, layer.values, repeats=repeats)
        else:
            layer.batch_repeat_interleave(repeats)
