"""Sample one token per row by inverse transform, from a uniform number that belongs to the row.

``torch.multinomial`` costs more than a small model's forward pass on a CPU and uses one random
stream for the whole batch. Here the cumulative distribution is searched twice, first over blocks of
256 tokens, then inside one block, with a number in [0, 1) that the caller passes.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

_BLOCK = 256


def uniforms(seed: int, problem_id: str, sample: int, count: int) -> NDArray[np.float64]:
    """Return the random stream of one rollout: (count,) float64 in [0, 1).

    It depends only on the arguments, so neither batches nor restarts change it.

    Example:
        >>> bool((uniforms(0, "a", 1, 5)[:3] == uniforms(0, "a", 1, 3)).all())
        True
    """
    digest = hashlib.sha256(problem_id.encode()).digest()
    key = np.array([seed, int.from_bytes(digest[:8], "little")], dtype=np.uint64)
    counter = np.array([0, 0, 0, sample], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).random(count)


def sample_tokens(
    logits: torch.Tensor, uniform: torch.Tensor, *, temperature: float, top_p: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample a token for each row.

    Args:
        logits: (B, V) of any float dtype; computed in float32.
        uniform: (B,) float64 in [0, 1).
        temperature: Divides the logits; 0 selects the most likely token, and reports its
            log-probability at temperature 1.
        top_p: Sample from the smallest set of most likely tokens with this total probability.

    Returns:
        (B,) int64 token ids, and (B,) float32 log-probabilities at this temperature, before top-p.
        If a row's logits contain NaN or +Inf, its log-probability is NaN and its token meaningless.

    Example:
        >>> tokens, logprobs = sample_tokens(torch.tensor([[0.0, 0.0]]), torch.tensor([0.7]), temperature=1.0)
        >>> tokens.tolist(), logprobs.exp().tolist()
        ([1], [0.5])
    """  # noqa: E501
    if temperature == 0.0:
        best = logits.float().log_softmax(-1).max(-1)
        return best.indices, best.values
    scaled = logits.float() if temperature == 1.0 else logits.float() / temperature
    # Each pass over the vocabulary costs as much as a layer of a small model; make only two.
    probabilities = weights = torch.softmax(scaled, dim=-1)
    if top_p < 1.0:
        weights = _nucleus(weights, top_p)
    count, size = weights.shape
    blocks = -(-size // _BLOCK)
    if blocks * _BLOCK != size:
        weights = torch.nn.functional.pad(weights, (0, blocks * _BLOCK - size))
    blocked = weights.view(count, blocks, _BLOCK)
    # In float64: rounding varies with the batch, and should hardly move token boundaries.
    outer = blocked.sum(-1, dtype=torch.float64).cumsum(-1)
    target = uniform.to(outer)[:, None] * outer[:, -1:]
    block = torch.searchsorted(outer, target, right=True).clamp(max=blocks - 1)
    below = torch.where(block > 0, outer.gather(1, (block - 1).clamp(min=0)), 0.0)
    chosen = blocked[torch.arange(count, device=weights.device), block[:, 0]].double()
    inner = chosen.cumsum(-1)
    # Rounding can put a target at a block's very end; stay below it, where weights are positive.
    rest = torch.minimum((target - below).clamp(min=0.0), inner[:, -1:] * (1.0 - 1e-12))
    offset = torch.searchsorted(inner, rest, right=True).clamp(max=_BLOCK - 1)
    tokens = (block * _BLOCK + offset)[:, 0].clamp(max=size - 1)
    return tokens, probabilities.gather(1, tokens[:, None])[:, 0].log()


def _nucleus(weights: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero the weights outside the smallest set of most likely tokens that reaches ``top_p``."""
    ordered, index = weights.sort(dim=-1, descending=True)
    before = ordered.cumsum(-1, dtype=torch.float64) - ordered
    kept = torch.where(before < top_p, ordered, 0.0)
    return torch.zeros_like(weights).scatter(1, index, kept)
