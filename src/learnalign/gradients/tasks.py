"""The gradients to take, and how they are grouped into batches under a token budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KLTerm:
    """The KL term: each token of response r weighs ``weights_r (pi_ref / pi - 1)`` more.

    That is the gradient of TRL's estimate of the divergence, ``pi_ref/pi - log(pi_ref/pi) - 1``
    (arXiv 2506.11480, the GRPO gradient; weights_r = beta / (G |o_r|) there).
    """

    weights: Sequence[float]
    """(G,) one a response."""
    logprobs: Sequence[Sequence[float] | NDArray[np.float64]]
    """(G, |o_r|) log-probabilities of the tokens under the reference, at their temperature."""


@dataclass(frozen=True)
class GradientTask:
    """One gradient to take: ``sum_r weight_r sum_t grad log pi(response_{r,t} | prompt, ...)``."""

    key: int
    """Which row it belongs to; the parts of a split item share it."""
    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    pull: KLTerm | None = None
    last: bool = True
    """Whether the row is whole after this part."""

    @property
    def num_tokens(self) -> int:
        """Tokens of the packed item: the prompt once, each response without its last token."""
        return len(self.prompt) + sum(len(response) - 1 for response in self.responses)

    @property
    def num_padded(self) -> int:
        """Tokens where the prompt cannot be shared: one padded row a response."""
        return len(self.responses) * self.longest

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence, prompt included."""
        return len(self.prompt) + max(len(response) for response in self.responses) - 1


def make_task(
    key: int,
    prompt: Sequence[int],
    responses: Sequence[Sequence[int]],
    weights: Sequence[float],
    pull: KLTerm | None = None,
) -> GradientTask:
    """Merge equal responses, and leave out empty ones and those without weight.

    A response without weight stays if a reference pulls at it.

    Example:
        >>> make_task(0, [5], [[7, 8], [9], [7, 8]], [0.5, -1.0, 0.5]).weights
        (1.0, -1.0)
    """
    merged: dict[tuple[int, ...], tuple[float, float]] = {}
    pulls = [0.0] * len(responses) if pull is None else pull.weights
    for response, weight, strength in zip(responses, weights, pulls, strict=True):
        before = merged.get(tuple(response), (0.0, 0.0))
        merged[tuple(response)] = (before[0] + weight, before[1] + strength)
    rows = sorted((r, w, s) for r, (w, s) in merged.items() if r and (w != 0.0 or s != 0.0))
    rows.sort(key=lambda row: -len(row[0]))
    if pull is not None:
        known = dict(zip(map(tuple, responses), pull.logprobs, strict=True))
        pull = KLTerm([s for _, _, s in rows], [known[r] for r, _, _ in rows])
    return GradientTask(
        key, tuple(prompt), tuple(r for r, _, _ in rows), tuple(w for _, w, _ in rows), pull
    )


def split_item(item: GradientTask, budget: int, *, shared: bool = True) -> Iterator[GradientTask]:
    """Cut an item that is larger than the budget into parts, each the prompt and some responses.

    A part holds at least one response, however long it is.

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
    """Group items of like length into packs of at most ``enough`` tokens.

    An item larger than that is a pack of its own; one larger than ``budget`` is split, and its
    parts are packs of their own, one after the other.

    Args:
        items: In any order, but the parts of a split item together and in theirs.
        budget: Tokens an item may have in one piece.
        enough: Tokens a pack of several items may have; as many as ``budget`` if None.
        shared: Whether prompts are shared; it decides how many tokens an item has.
        alone: One item a pack (for parameters whose gradients autograd sums over the whole pack).
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
    pull = item.pull and KLTerm(item.pull.weights[part], item.pull.logprobs[part])
    return GradientTask(item.key, item.prompt, item.responses[part], item.weights[part], pull, last)


def _size(item: GradientTask, shared: bool) -> int:
    return item.num_tokens if shared else item.num_padded
