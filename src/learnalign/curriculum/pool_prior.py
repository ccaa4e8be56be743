"""A Beta prior with the mean and the variance of the pool's success rates, by moments.

Of groups with r = s / n, the mean of r is m, and (s (s - 1)) / (n (n - 1)) is p^2 without the noise
of the rollouts. Where a model expects the rate e of a problem (`SuccessModel`),

    v = mean of p^2 - 2 r e + e^2,    a + b = mean of e (1 - e) / v - 1

is how far the rates spread around what is expected, and the prior of a problem is a = e (a + b).
Without a model e is the pool's m. Groups count less the longer ago they were seen: success rates
rise as the policy learns.
"""

from typing import Any

import numpy as np

from learnalign.curriculum.base import Floats

#: The prior counts as this many groups of a uniform distribution at first.
_FIRST = 16.0
#: At most this many groups are remembered.
_MEMORY = 2_000.0
#: Bounds of a + b: 0.2 is nearly all or nothing, 8 as narrow as eight rollouts make it.
_LOWEST, _HIGHEST = 0.2, 8.0


class PoolPrior:
    """The prior of problems that nothing is known of.

    Example:
        >>> prior = PoolPrior()
        >>> [round(value, 2) for value in prior.values()]
        [1.0, 1.0]
        >>> prior.observe(np.array([0.0, 8.0] * 2000), np.full(4000, 8.0))  # all or nothing
        >>> [round(value, 2) for value in prior.values()]
        [0.1, 0.1]

        The same where a model expects each of them, to a tenth: what is left is narrow.

        >>> prior = PoolPrior()
        >>> prior.observe(np.array([0.0, 8.0] * 2000), np.full(4000, 8.0),
        ...               np.array([0.1, 0.9] * 2000))
        >>> np.concatenate(prior.values(np.array([0.1, 0.5]))).round(1).tolist()
        [0.8, 3.9, 7.0, 3.9]
    """

    def __init__(self) -> None:
        # A uniform distribution, of which half is expected of each: the mean of p^2 is 1/3.
        self.groups = _FIRST
        #: Sums over groups of r, p^2, e, e^2 and r e.
        self.sums = _FIRST * np.array([1 / 2, 1 / 3, 1 / 2, 1 / 4, 1 / 4])

    def values(self, expected: Floats | None = None) -> tuple[Any, Any]:
        """Return (a, b), both positive: numbers, or (n,) each for (n,) expected rates."""
        rate, square, e, e_square, product = (self.sums / self.groups).tolist()
        if expected is None:
            rate = min(max(rate, 0.01), 0.99)
            e, e_square, product = rate, rate**2, rate**2
        spread = max(square - 2 * product + e_square, 1e-6)
        size = min(max((e - e_square) / spread - 1, _LOWEST), _HIGHEST)
        mean: Any = rate if expected is None else np.clip(expected, 0.01, 0.99)
        return mean * size, (1 - mean) * size

    def observe(
        self, successes: Floats, num_rollouts: Floats, expected: Floats | None = None
    ) -> None:
        """Learn from (k,) groups; those with fewer than two rollouts say nothing of the spread.

        Args:
            successes: (k,) sums of rewards.
            num_rollouts: (k,) rollouts.
            expected: (k,) rates that a model expected before.
        """
        usable = num_rollouts >= 2
        s, n = successes[usable], num_rollouts[usable]
        rates, squares = s / n, np.maximum(s * (s - 1), 0.0) / (n * (n - 1))
        e = np.zeros(len(s)) if expected is None else expected[usable]
        kept = min(1.0, _MEMORY / (self.groups + len(s)))
        self.groups = kept * (self.groups + len(s))
        new = np.stack([rates, squares, e, e**2, rates * e]).sum(axis=1)
        self.sums = kept * (self.sums + new)

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data."""
        return {"groups": self.groups, "sums": self.sums.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.groups, self.sums = state["groups"], np.array(state["sums"])
