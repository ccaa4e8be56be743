"""Gradient tasks, and their grouping into batches under a token budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KLTerm:
    """The KL term: adds ``weights_r (pi_ref / pi - 1)`` to the weight of each token of response r.

    This is the gradient of TRL's estimate of the divergence, ``pi_ref/pi - log(pi_ref/pi) - 1``
    (arXiv 2506.11480, the GRPO gradient, with weights_r = beta / (G |o_r|)).
    """

    weights: Sequence[float]
    """(G,) one per response."""
    logprobs: Sequence[Sequence[float] | NDArray[np.float64]]
    """(G, |o_r|) log-probabilities of the tokens under the reference, at the same temperature."""


@dataclass(frozen=True)
class GradientTask:
    """A gradient to compute: ``sum_r weight_r sum_t grad log pi(response_{r,t} | prompt, ...)``."""

    key: int
    """The row it belongs to; the parts of a split item share it."""
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    kl_term: KLTerm | None = None
    last: bool = True
    """Whether the row is complete after this part."""

    @property
    def num_tokens(self) -> int:
        """Number of tokens when packed: the prompt once, each response without its last token."""
        return len(self.prompt) + sum(len(response) - 1 for response in self.responses)

    @property
    def num_padded(self) -> int:
        """Number of tokens if the prompt cannot be shared: one padded row per response."""
        return len(self.responses) * self.longest

    @property
    def longest(self) -> int:
        """Number of tokens of the longest sequence, prompt included."""
        return len(self.prompt) + max(len(response) for response in self.responses) - 1


def make_task(
    key: int,
    prompt: Sequence[int],
    responses: Sequence[Sequence[int]],
    weights: Sequence[float],
    kl_term: KLTerm | None = None,
) -> GradientTask:
    """Merge equal responses, and drop empty ones and those of weight 0.

    A response of weight 0 stays if it has a weight in the KL term.

    Example:
        >>> make_task(0, [5], [[7, 8], [9], [7, 8]], [0.5, -1.0, 0.5]).weights
        (1.0, -1.0)
    """
    merged: dict[tuple[int, ...], tuple[float, float]] = {}
    kl_weights = [0.0] * len(responses) if kl_term is None else kl_term.weights
    for response, weight, kl_weight in zip(responses, weights, kl_weights, strict=True):
        before = merged.get(tuple(response), (0.0, 0.0))
        merged[tuple(response)] = (before[0] + weight, before[1] + kl_weight)
    rows = sorted((r, w, s) for r, (w, s) in merged.items() if r and (w != 0.0 or s != 0.0))
    rows.sort(key=lambda row: -len(row[0]))
    if kl_term is not None:
        known = dict(zip(map(tuple, responses), kl_term.logprobs, strict=True))
        kl_term = KLTerm([s for _, _, s in rows], [known[r] for r, _, _ in rows])
    return GradientTask(
        key, tuple(prompt), tuple(r for r, _, _ in rows), tuple(w for _, w, _ in rows), kl_term
    )


def split_item(item: GradientTask, budget: int, *, shared: bool = True) -> Iterator[GradientTask]:
    """Split an item that is larger than the budget into parts: the prompt and some responses each.

    A part has at least one response, even if that is larger than the budget.

    Example:
        >>> item = make_task(0, [1, 2], [[3, 4, 5], [6, 7, 8], [9]], [1.0, 2.0, 3.0])
        >>> [(part.weights, part.last) for part in split_item(item, 5)]
        [((1.0,), False), ((2.0, 3.0), True)]
    """
    start, count = 0, len(item.responses)
    while start < count:
        end = start + 1
        while end < count and _size(_part(item, start, end + 1), shared) <= budget:
            end += 1
        yield _part(item, start, end)
        start = end


def group_tasks(
    items: Sequence[GradientTask],
    budget: int,
    *,
    enough: int | None = None,
    shared: bool = True,
    alone: bool = False,
) -> list[list[GradientTask]]:
    """Group items of similar length into packs of at most ``enough`` tokens.

    A larger item becomes its own pack; one larger than ``budget`` is split into consecutive packs.

    Args:
        items: In any order, except that the parts of a split item are adjacent and in order.
        budget: Maximum number of tokens of an item in one piece.
        enough: Maximum number of tokens of a pack of several items; ``budget`` if None.
        shared: Whether prompts are shared, which changes an item's number of tokens.
        alone: One item per pack (for parameters whose gradients autograd sums over the pack).
    """
    packs: list[list[GradientTask]] = []
    room = 0
    for item in sorted(items, key=lambda item: -len(item.prompt) - len(item.responses[0])):
        size = _size(item, shared)
        if size > budget or not item.last:
            packs += [[part] for part in split_item(item, budget, shared=shared)]
            room = 0
        elif size <= room and not alone:
            packs[-1].append(item)
            room -= size
        else:
            packs.append([item])
            room = (budget if enough is None else enough) - size
    return packs


def _part(item: GradientTask, start: int, end: int) -> GradientTask:
    part = slice(start, end)
    last = item.last and end == len(item.responses)
    kl_term = item.kl_term and KLTerm(item.kl_term.weights[part], item.kl_term.logprobs[part])
    responses, weights = item.responses[part], item.weights[part]
    return GradientTask(item.key, item.prompt, responses, weights, kl_term, last)


def _size(item: GradientTask, shared: bool) -> int:
    return item.num_tokens if shared else item.num_padded
