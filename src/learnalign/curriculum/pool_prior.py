"""A Beta prior with the mean and the variance of the pool's success rates, by moments.

Of groups with r = s / n, the mean of r is m, and the mean of (s (s - 1)) / (n (n - 1)) is the mean
of p^2 without the noise of the rollouts, m2. With v = m2 - m^2 the Beta distribution with these
moments has

    a + b = m (1 - m) / v - 1,   a = m (a + b)

Groups count less the longer ago they were seen: success rates rise as the policy learns.
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
    """The prior of a problem that nothing is known of.

    Example:
        >>> prior = PoolPrior()
        >>> [round(value, 2) for value in prior.values]
        [1.0, 1.0]
        >>> prior.observe(np.array([0.0, 8.0] * 2000), np.full(4000, 8.0))  # all or nothing
        >>> [round(value, 2) for value in prior.values]
        [0.1, 0.1]
    """

    def __init__(self) -> None:
        # A uniform distribution: the mean of p is 1/2, that of p^2 is 1/3.
        self.groups, self.first, self.second = _FIRST, _FIRST / 2, _FIRST / 3

    @property
    def values(self) -> tuple[float, float]:
        """(a, b), both positive."""
        mean = min(max(self.first / self.groups, 0.01), 0.99)
        variance = max(self.second / self.groups - mean**2, 1e-6)
        size = min(max(mean * (1 - mean) / variance - 1, _LOWEST), _HIGHEST)
        return mean * size, (1 - mean) * size

    def observe(self, successes: Floats, num_rollouts: Floats) -> None:
        """Learn from (k,) groups; those with fewer than two rollouts say nothing of the variance.

        Args:
            successes: (k,) sums of rewards.
            num_rollouts: (k,) rollouts.
        """
        usable = num_rollouts >= 2
        s, n = successes[usable], num_rollouts[usable]
        kept = min(1.0, _MEMORY / (self.groups + len(s)))
        self.groups = kept * (self.groups + len(s))
        self.first = kept * (self.first + float((s / n).sum()))
        pairs = np.maximum(s * (s - 1), 0.0) / (n * (n - 1))
        self.second = kept * (self.second + float(pairs.sum()))

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data."""
        return {"groups": self.groups, "first": self.first, "second": self.second}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.groups, self.first, self.second = state["groups"], state["first"], state["second"]
