"""Endless passes over the problems, cut into batches without duplicates."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Booleans = NDArray[np.bool_]
#: From (k,) problems to (k,) booleans.
Skip = Callable[[Indices], Booleans]


def one_pass(num_problems: int, epoch: int, *, shuffled: bool, seed: int) -> Indices:
    """Return the order of one pass, (n,); deterministic in the arguments.

    Example:
        >>> one_pass(3, 0, shuffled=False, seed=0).tolist()
        [0, 1, 2]
    """
    if not shuffled:
        return np.arange(num_problems)
    key = np.array([seed, epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(num_problems)


class Passes:
    """Concatenated passes over n problems, as a queue in which no problem is twice.

    Example:
        >>> passes = Passes(3, shuffled=False, seed=0)
        >>> none = np.zeros(3, dtype=bool)
        >>> [passes.take(2, none).tolist() for _ in range(3)]
        [[0, 1], [2, 0], [1, 2]]
    """

    def __init__(self, num_problems: int, *, shuffled: bool, seed: int) -> None:
        self.num_problems, self.shuffled, self.seed = num_problems, shuffled, seed
        self.begun = 0
        """Passes begun so far."""
        self._queue = np.zeros(0, dtype=np.int64)

    def take(self, count: int, excluded: Booleans, skip: Skip | None = None) -> Indices:
        """Take the next ``count`` problems, without duplicates.

        Args:
            count: Number of problems; at most those outside ``excluded``.
            excluded: (n,) problems that stay in the queue, at their place.
            skip: From (k,) problems of the queue to whether each is removed from this pass; applied
                to those that come up.

        Returns:
            (count,) distinct problems. A problem that comes up again stays for the next call.
        """
        taken = np.zeros(0, dtype=np.int64)
        blocked = excluded.copy()
        while len(taken) < count:
            if blocked[self._queue].all():
                self._begin_pass()
            free = ~blocked[self._queue]
            good = free if skip is None else free & ~skip(self._queue)
            found = np.flatnonzero(good)[: count - len(taken)]
            full = len(taken) + len(found) == count
            end = found[-1] + 1 if full else len(self._queue)
            taken = np.concatenate([taken, self._queue[found]])
            waiting = self._queue[:end][~free[:end]]
            self._queue = np.concatenate([waiting, self._queue[end:]])
            blocked[taken] = True
        return taken

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data."""
        return {"begun": self.begun, "queue": self._queue.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.begun, self._queue = state["begun"], np.array(state["queue"], dtype=np.int64)

    def _begin_pass(self) -> None:
        """Append a pass, without the problems that still wait."""
        order = one_pass(self.num_problems, self.begun, shuffled=self.shuffled, seed=self.seed)
        waiting = np.zeros(self.num_problems, dtype=bool)
        waiting[self._queue] = True
        self._queue = np.concatenate([self._queue, order[~waiting[order]]])
        self.begun += 1
