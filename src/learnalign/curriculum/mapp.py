"""MaPP's selection: problems in proportion to the posterior chance that a group has a signal.

With p ~ Beta(a, b), a group of G rollouts has both outcomes with the chance

    w = 1 - B(a + G, b) / B(a, b) - B(a, b + G) / B(a, b)

The batch is drawn without replacement, one problem after another in proportion to w among those
left. w falls like G / (a + b) for a problem that always fails, so its sum over time diverges and
every problem is drawn again and again.

Taken from the method's description: w and the proportional draw. Its smoothed advantages belong to
the trainer and are not part of this class. Prior, discount and the sampling without replacement are
our choices: a0 = b0 = 1, and L = 1.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Booleans, Curriculum, Floats, Indices
from learnalign.curriculum.checks import require_whole
from learnalign.curriculum.posterior import BetaPosterior


class MaPP(Curriculum):
    """Problems in proportion to the posterior chance of a signal.

    Args:
        num_problems: n, at least 1.
        seed: Seed of the draws.
        num_rollouts: G, rollouts per problem; at least 2, without which no group has a signal.
        discount: L, the share of earlier evidence kept at each observation of a problem.
        counts: (n, 2) successes and failures known before training.
    """

    name = "mapp"

    def __init__(
        self,
        num_problems: int,
        *,
        seed: int = 0,
        num_rollouts: int = 8,
        discount: float = 1.0,
        counts: ArrayLike | None = None,
    ) -> None:
        super().__init__(num_problems, seed=seed)
        self.num_rollouts = require_whole("num_rollouts", num_rollouts, at_least=2)
        self.posterior = BetaPosterior(num_problems, discount=discount, counts=counts)

    def estimates(self) -> Floats:
        """Return (n,) posterior means."""
        return self.posterior.mean()

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        weights = np.where(excluded, 0.0, self.posterior.signal_chance(self.num_rollouts))
        return proportional(weights, excluded, count, self.rng)

    def _update(
        self, indices: Indices, successes: Floats, num_rollouts: Floats, has_signal: Booleans
    ) -> None:
        self.posterior.update(indices, successes, num_rollouts)

    def _options(self) -> dict[str, Any]:
        return {"num_rollouts": self.num_rollouts, "discount": self.posterior.discount}

    def _state(self) -> dict[str, Any]:
        return self.posterior.state()

    def _load_state(self, state: dict[str, Any]) -> None:
        self.posterior.load(state)


def proportional(
    weights: Floats, excluded: Booleans, count: int, rng: np.random.Generator
) -> Indices:
    """Draw without replacement, one after another in proportion to the weights of those left.

    The ``count`` largest log w + Gumbel noise have this distribution. Problems of weight 0 come
    last, in a random order.

    Args:
        weights: (n,) non-negative weights.
        excluded: (n,) problems that are never drawn.
        count: Number of problems, at most those outside ``excluded``.
        rng: Source of the noise.

    Returns:
        (count,) distinct indices.
    """
    noise = rng.gumbel(size=len(weights))
    keys = np.log(np.maximum(weights, np.finfo(float).tiny)) + noise
    keys[excluded] = -np.inf
    return np.argsort(-keys, kind="stable")[:count]
