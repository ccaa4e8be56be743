"""Endless passes over the problems, cut into batches without duplicates."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def one_pass(num_problems: int, epoch: int, *, shuffled: bool, seed: int) -> list[int]:
    """Return the order of one pass; deterministic in the arguments.

    Example:
        >>> one_pass(3, 0, shuffled=False, seed=0)
        [0, 1, 2]
        >>> sorted(one_pass(3, 0, shuffled=True, seed=0))
        [0, 1, 2]
    """
    if not shuffled:
        return list(range(num_problems))
    key = np.array([seed, epoch], dtype=np.uint64)
    order: list[int] = (
        np.random.Generator(np.random.Philox(key=key)).permutation(num_problems).tolist()
    )
    return order


class Passes:
    """Concatenated passes over n problems, as a queue in which no problem is twice.

    Example:
        >>> passes = Passes(3, shuffled=False, seed=0)
        >>> none = np.zeros(3, dtype=bool)
        >>> passes.take(2, none), passes.take(2, none), passes.take(2, none)
        ([0, 1], [2, 0], [1, 2])
    """

    def __init__(self, num_problems: int, *, shuffled: bool, seed: int) -> None:
        self.num_problems, self.shuffled, self.seed = num_problems, shuffled, seed
        self.begun = 0
        """Passes begun so far."""
        self._queue: list[int] = []

    def take(
        self, count: int, excluded: NDArray[np.bool_], skip: Callable[[int], bool] | None = None
    ) -> list[int]:
        """Take the next ``count`` problems, without duplicates.

        Args:
            count: Number of problems; at most those outside ``excluded``.
            excluded: (n,) problems that stay in the queue, at their place.
            skip: Called for each problem that comes up; True removes it from this pass.

        Returns:
            Distinct problems. A problem that comes up again stays in the queue for the next call.
        """
        taken: list[int] = []
        blocked = excluded.copy()
        while len(taken) < count:
            if blocked[self._queue].all():
                self._begin_pass()
            kept: list[int] = []
            for place, index in enumerate(self._queue):
                if len(taken) == count:
                    kept += self._queue[place:]
                    break
                if blocked[index]:
                    kept.append(index)
                elif skip is None or not skip(index):
                    taken.append(index)
                    blocked[index] = True
            self._queue = kept
        return taken

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data."""
        return {"begun": self.begun, "queue": list(self._queue)}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.begun, self._queue = state["begun"], list(state["queue"])

    def _begin_pass(self) -> None:
        """Append a pass, without the problems that still wait."""
        order = one_pass(self.num_problems, self.begun, shuffled=self.shuffled, seed=self.seed)
        waiting = set(self._queue)
        self._queue += [index for index in order if index not in waiting]
        self.begun += 1
