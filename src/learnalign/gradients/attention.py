"""Attention for packed problems, gathered: each response attends to its own prompt and itself.

transformers passes queries, keys and values of the packed row to the function registered here. It
gathers them into sequences (prompt and response, one per row), attends causally, and maps the
results back; those of a prompt's tokens, which are in each of its sequences, come from one of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from learnalign.gradients.layout import Pack

NAME = "learnalign_packed"
#: Below this length torch's backward pass of bfloat16 attention on a CPU takes up to three times as
#: long as that of float32.
_LONG = 128
_pack: Pack | None = None


@contextmanager
def attending(pack: Pack) -> Iterator[None]:
    """Use this pack's layout in the registered attention functions."""
    global _pack
    before, _pack = _pack, pack
    try:
        yield
    finally:
        _pack = before


def current_pack() -> Pack:
    """Return the pack that is being attended to."""
    assert _pack is not None, "the packed attention was called outside of a pack"
    return _pack


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_ignored: Any,
) -> tuple[torch.Tensor, None]:
    """Compute the attention of the current pack's tokens.

    Args:
        module: The attention layer; unused, but passed by transformers.
        query: (1, H, T, D) queries of the packed tokens.
        key: (1, K, T, D) keys; H is a multiple of K.
        value: (1, K, T, E) values.
        attention_mask: Unused: the pack's layout defines the mask.
        dropout: Unused: gradients are computed in evaluation mode.
        scaling: Scale of the scores; 1/sqrt(D) if None.
        sliding_window: Number of tokens that a token sees, itself included; None for all.
        softcap: Soft limit of the scores, by tanh (Gemma 2).
        s_aux: (H,) logits of attention sinks (gpt-oss).

    Returns:
        (1, T, H, E) outputs, and None instead of the attention weights.
    """
    pack = current_pack()
    assert pack.sequences is not None
    assert pack.unpack is not None
    core = _Core(scaling, sliding_window, softcap, s_aux)
    if pack.separate is None:
        q, k, v = (_gather(tensor, pack.sequences) for tensor in (query, key, value))
        out = core(q, k, v, pack, "sequences", None).transpose(1, 2).flatten(0, 1)
        return out.index_select(0, pack.unpack)[None], None
    separate = pack.separate
    q, k, v = (_gather(tensor, separate.prompts) for tensor in (query, key, value))
    first = core(q, k, v, pack, "prompts", None)
    q, own_k, own_v = (_gather(tensor, separate.responses) for tensor in (query, key, value))
    k = torch.cat([k.index_select(0, separate.owners), own_k], dim=2)
    v = torch.cat([v.index_select(0, separate.owners), own_v], dim=2)
    second = core(q, k, v, pack, "responses", separate.visible)
    out = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in (first, second)])
    return out.index_select(0, separate.unpack)[None], None


def _gather(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Gather (1, H, T, D) into rows (M, H, S, D)."""
    heads, size = tensor.shape[1], tensor.shape[3]
    rows = tensor[0].index_select(1, index.reshape(-1))
    return rows.view(heads, *index.shape, size).transpose(0, 1)


class _Core:
    """Causal attention over rows, in the model's variant."""

    def __init__(
        self,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
        sinks: torch.Tensor | None,
    ) -> None:
        self.scaling, self.window, self.softcap, self.sinks = scaling, window, softcap, sinks

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        pack: Pack,
        name: str,
        visible: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attend: (M, H, R, D) queries at the end of (M, K, S, D) keys; ``visible`` or causal."""
        plain = self.softcap is None and self.sinks is None
        narrow = self.window is not None and self.window < key.shape[2]
        causal = visible is None and plain and not narrow
        mask = None if causal else self._mask(pack, name, visible, query, key)
        if plain:
            dtype = query.dtype
            if query.device.type == "cpu" and dtype == torch.bfloat16 and key.shape[2] < _LONG:
                query, key, value = query.float(), key.float(), value.float()
            return scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=causal,
                scale=self.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            ).to(dtype)
        assert mask is not None
        key, value = (_repeat_heads(t, query.shape[1]) for t in (key, value))
        return self._explicit(query, key, value, mask)

    def _mask(
        self,
        pack: Pack,
        name: str,
        visible: torch.Tensor | None,
        query: torch.Tensor,
        key: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the boolean mask of this pack and window, once for all layers."""
        cached: torch.Tensor | None = pack.masks.get((name, self.window))
        if cached is not None:
            return cached
        width, length = query.shape[2], key.shape[2]
        if visible is None:
            visible = torch.ones(1, 1, width, length, dtype=torch.bool, device=key.device).tril()
        if self.window is not None:
            visible = visible & self._near(pack, name, width, length, key.device)
        pack.masks[name, self.window] = visible
        return visible

    def _near(
        self, pack: Pack, name: str, width: int, length: int, device: torch.device
    ) -> torch.Tensor:
        """Return which keys are within the window, by the tokens' positions."""
        assert self.window is not None
        if name != "responses":
            index = torch.arange(length, device=device)
            return index[:, None] - index < self.window
        separate, positions = pack.separate, pack.position_ids[0]
        assert separate is not None
        queries = positions[separate.responses]
        keys = torch.cat([positions[separate.prompts][separate.owners], queries], dim=1)
        return (queries[:, :, None] - keys[:, None, :] < self.window)[:, None]

    def _explicit(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Attend with explicit scores, for a softcap or attention sinks."""
        scale = query.shape[-1] ** -0.5 if self.scaling is None else self.scaling
        scores = query @ key.transpose(2, 3) * scale
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        wide = torch.float64 if scores.dtype == torch.float64 else torch.float32
        scores = scores.to(wide).masked_fill(~mask, float("-inf"))
        if self.sinks is not None:
            sinks = self.sinks.to(wide)[None, :, None, None].expand(*scores.shape[:3], 1)
            weights = torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]
        else:
            weights = scores.softmax(-1)
        return weights.to(value.dtype) @ value


def _repeat_heads(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Repeat (M, K, S, D) keys or values for the query heads that share them."""
    if tensor.shape[1] == heads:
        return tensor
    return tensor.repeat_interleave(heads // tensor.shape[1], dim=1)


# Without a mask function of this name, transformers builds no mask, and does not look into the
# position ids for packed sequences, which would make the host wait for the device.
AttentionInterface.register(NAME, attend)
