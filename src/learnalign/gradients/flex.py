"""Packed attention by torch's FlexAttention: one kernel over the packed row, without gathering.

For CUDA. The mask says which tokens a token sees: its own problem's prompt, and its own response up
to itself. Nothing is padded, and blocks of the mask that are empty are skipped. The backward pass
has no atomic additions, so that rows are the same from run to run.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention
from transformers import AttentionInterface

from learnalign.gradients.attention import current_pack
from learnalign.gradients.layout import Pack

NAME = "learnalign_flex"
#: Length and width of the mask's blocks.
_BLOCK = 128


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
    """Compute the attention of the current pack's tokens; arguments as `attention.attend`."""
    pack = current_pack()
    auxiliary = None
    arguments: dict[str, Any] = {
        "block_mask": _block_mask(pack, sliding_window),
        "score_mod": None if softcap is None else _softcap(softcap),
        "scale": scaling,
        "enable_gqa": query.shape[1] != key.shape[1],
    }
    kernel = _kernel(query.device.type)
    if s_aux is None:
        out = kernel(query, key, value, **arguments)
    else:
        out, auxiliary = kernel(query, key, value, return_aux=AuxRequest(lse=True), **arguments)
        # A sink adds exp(sink) to the softmax's denominator.
        out = out * (auxiliary.lse - s_aux[None, :, None]).sigmoid()[..., None].to(out.dtype)
    return out.transpose(1, 2).contiguous(), None


def visible(
    pack: Pack, window: int | None
) -> Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the mask as FlexAttention takes it: (batch, head, query, key) to a boolean."""
    owners, branches, positions = pack.token_owners, pack.token_branches, pack.position_ids[0]
    assert owners is not None
    assert branches is not None

    def sees(_batch: Any, _head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        same = (owners[query] == owners[key]) & (key <= query)
        same = same & ((branches[key] < 0) | (branches[key] == branches[query]))
        if window is not None:
            same = same & (positions[query] - positions[key] < window)
        return same

    return sees


def _block_mask(pack: Pack, window: int | None) -> Any:
    """Compute this pack's block mask, once for all layers."""
    cached = pack.masks.get((NAME, window))
    if cached is None:
        length = pack.position_ids.shape[1]
        device = pack.position_ids.device
        cached = create_block_mask(
            visible(pack, window), None, None, length, length, device=device, BLOCK_SIZE=_BLOCK
        )
        pack.masks[NAME, window] = cached
    return cached


def _softcap(limit: float) -> Callable[..., torch.Tensor]:
    def capped(score: torch.Tensor, *_indices: torch.Tensor) -> torch.Tensor:
        return limit * torch.tanh(score / limit)

    return capped


@cache
def _kernel(device: str) -> Any:
    """Return the compiled kernel; on a CPU the plain function, which is for tests."""
    return flex_attention if device == "cpu" else torch.compile(flex_attention)


AttentionInterface.register(NAME, attend)
