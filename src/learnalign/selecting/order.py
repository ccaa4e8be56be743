"""Order problems by score with random tie-breaks, and convert a budget to a count."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]


def random_keys(problem_ids: list[str], seed: int) -> Floats:
    """Return a number in [0, 1) for each problem that depends only on its id and the seed.

    Example:
        >>> first = random_keys(["a", "b"], 0)
        >>> bool((random_keys(["b", "a"], 0)[::-1] == first).all())
        True
    """
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in problem_ids)
    return np.array([int.from_bytes(d[:8], "big") / 2**64 for d in digests])


def ranking(scores: Floats, ties: Floats) -> NDArray[np.int64]:
    """Order problems by score, the highest first; equal scores by ``ties``, the highest first.

    Args:
        scores: (n,) scores.
        ties: (n,) random keys that break ties (`random_keys`), independent of the pool's order.

    Returns:
        (n,) indices, best first.

    Example:
        >>> ranking(np.array([0.1, 0.3, 0.1]), np.array([0.2, 0.5, 0.9])).tolist()
        [1, 2, 0]
    """
    return np.lexsort((-ties, -scores))


def by_source(
    order: NDArray[np.int64], sources: Sequence[str | None], signal: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Merge the sources' own rankings, so that any first K contain each source in proportion.

    A source's problems with a signal are spread evenly over the ranking, in their order; those
    without one come after all others.

    Args:
        order: (n,) indices, best first, as returned by `ranking`.
        sources: (n,) source of each problem.
        signal: (n,) whether a problem has a signal; proportions are those of problems with one.

    Returns:
        (n,) indices, best first.

    Example:
        >>> order = np.array([0, 1, 2, 3, 4, 5])
        >>> by_source(order, ["a", "a", "a", "a", "b", "b"], np.ones(6, bool)).tolist()
        [0, 4, 1, 2, 5, 3]
    """
    totals: dict[tuple[str | None, bool], int] = {}
    keys = [(sources[i], bool(signal[i])) for i in range(len(order))]
    for key in keys:
        totals[key] = totals.get(key, 0) + 1
    seen: dict[tuple[str | None, bool], int] = {}
    positions = np.empty(len(order))
    for rank, index in enumerate(order.tolist()):
        key = keys[index]
        seen[key] = seen.get(key, 0) + 1
        positions[rank] = (seen[key] - 0.5) / totals[key] + (0.0 if key[1] else 1.0)
    return order[np.argsort(positions, kind="stable")]


def budget_count(budget: int | float | None, num_problems: int) -> int:
    """Convert a budget to K: an integer is K itself, a fraction of the pool is rounded, None is 0.

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
            do="pass a smaller --budget, or a fraction such as 0.1",
        )
    return count
