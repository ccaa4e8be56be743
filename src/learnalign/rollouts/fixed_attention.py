"""Attention of one new token a row over a cache of fixed length, without repeating grouped heads.

transformers' own function copies keys and values once for each head of a group when a mask is
given (in some versions), which costs more than the attention itself. Here the heads of a group are
the queries of one attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "learnalign_fixed"
#: What other models' attention takes and this one does not compute.
_UNKNOWN = ("softcap", "s_aux", "position_bias", "sliding_window")


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Compute the attention of one token a row.

    Args:
        module: The attention layer; unused, but passed by transformers.
        query: (B, H, 1, D).
        key: (B, K, T, D); H is a multiple of K.
        value: (B, K, T, E).
        attention_mask: (B, 1, 1, T), added to the scores.
        dropout: Unused: rollouts are sampled in evaluation mode.
        scaling: Scale of the scores; 1/sqrt(D) if None.
        others: Further arguments; those that change the result are refused.

    Returns:
        (B, 1, H, E) outputs, and None instead of the attention weights.

    Raises:
        NotImplementedError: if the layer asks for more than plain attention.
    """
    refused = [name for name in _UNKNOWN if others.get(name) is not None]
    if refused or attention_mask is None:
        raise NotImplementedError(f"attention with {', '.join(refused) or 'no mask'}")
    rows, heads, _, width = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
    out = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, 1, heads, value.shape[-1]), None


@contextmanager
def used_by(model: Any) -> Iterator[None]:
    """Let the model use this attention."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


AttentionInterface.register(NAME, attend)
