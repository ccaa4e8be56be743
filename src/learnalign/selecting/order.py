"""The order of scores: ties by lot, and how many a budget is."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]


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
