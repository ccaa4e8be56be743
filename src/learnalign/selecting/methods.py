"""The selection methods by name: each gives every problem a score, the higher the better.

A new method is a function here and a line in ``METHODS``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError, nearest

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """What a method may look at, one entry a problem, all of shape (n,)."""

    learnability: Floats
    alignment: Floats  # zeros for methods that need no gradients
    success_rate: Floats
    luck: Floats
    """A number in [0, 1) that is seeded by the problem's id: for ``random``, and for ties."""
    band: tuple[float, float] = (0.2, 0.8)


def learnalign(candidates: Candidates) -> Floats:
    """Learnability times alignment (arXiv 2506.11480)."""
    return candidates.learnability * candidates.alignment


def learnability(candidates: Candidates) -> Floats:
    """p(1-p) alone: the control that says what the gradients add."""
    return candidates.learnability


def alignment(candidates: Candidates) -> Floats:
    """Cosine alone, of the problems that have a gradient; the others come last."""
    return np.where(candidates.learnability > 0, candidates.alignment, -np.inf)


def band(candidates: Candidates) -> Floats:
    """1 inside the band of success rates, both ends included, 0 outside."""
    low, high = candidates.band
    rates = candidates.success_rate
    return ((rates >= low) & (rates <= high)).astype(np.float64)


def random(candidates: Candidates) -> Floats:
    """A seeded draw without regard to anything."""
    return candidates.luck


METHODS: dict[str, Callable[[Candidates], Floats]] = {
    "learnalign": learnalign,
    "learnability": learnability,
    "alignment": alignment,
    "band": band,
    "random": random,
}

#: The methods that look at gradients.
NEED_GRADIENTS = frozenset({"learnalign", "alignment"})


def method_named(name: str) -> Callable[[Candidates], Floats]:
    """Look a method up.

    Raises:
        LearnAlignError: for an unknown name; the nearest is named.

    Example:
        >>> method_named("learnability").__name__
        'learnability'
    """
    if name not in METHODS:
        raise LearnAlignError(
            f"got the method '{name}'",
            expected=f"one of {', '.join(METHODS)}: {nearest(name, METHODS)}",
            do="correct --method",
        )
    return METHODS[name]


def luck(problem_ids: list[str], seed: int) -> Floats:
    """Give each problem a number in [0, 1) that its id and the seed alone decide.

    Example:
        >>> first = luck(["a", "b"], 0)
        >>> bool((luck(["b", "a"], 0)[::-1] == first).all())
        True
    """
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in problem_ids)
    return np.array([int.from_bytes(d[:8], "big") / 2**64 for d in digests])


def ranking(scores: Floats, ties: Floats) -> NDArray[np.int64]:
    """Order problems by score, the highest first; equal scores by ``ties``, the highest first.

    Args:
        scores: (n,) scores.
        ties: (n,) numbers that decide between equal scores (`luck`), never the pool's order.

    Returns:
        (n,) indices, best first.

    Example:
        >>> ranking(np.array([0.1, 0.3, 0.1]), np.array([0.2, 0.5, 0.9])).tolist()
        [1, 2, 0]
    """
    return np.lexsort((-ties, -scores))


def budget_count(budget: int | float | None, num_problems: int) -> int:
    """Turn a budget into K: an integer is K itself, a fraction is rounded, None is 0.

    Raises:
        LearnAlignError: if K is larger than the pool.

    Example:
        >>> budget_count(0.1, 1000), budget_count(7, 1000), budget_count(None, 1000)
        (100, 7, 0)
    """
    if budget is None:
        return 0
    count = budget if isinstance(budget, int) else max(1, round(budget * num_problems))
    if count > num_problems:
        raise LearnAlignError(
            f"got a budget of {count} problems",
            expected=f"at most the {num_problems} problems of the pool",
            do="give a smaller --budget, or a fraction such as 0.1",
        )
    return count
