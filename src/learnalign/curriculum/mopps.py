"""MoPPS (arXiv 2507.04632): Thompson sampling of success rates, the nearest to a target first.

Of C B random candidates, p_i ~ Beta(a_i, b_i) is drawn for each; the B with the smallest
(p_i - 0.5)^2 are the batch. Only these are updated, with discounted evidence
(`learnalign.curriculum.posterior`).

From the authors' code (thu-rllab/MoPPS): a0 = b0 = 1; C = 16 and L = 1 for MATH, C = 8 and L = 0.5
for countdown and geometry; counts known before training are multiplied by 3. There the candidates
are the next C B problems of a shuffled pass that drops its last partial batch; here they are a new
uniform draw without replacement at each step, capped at the pool.

With L = 1 and a pool of at most C B problems, a problem whose posterior has moved away from 0.5 may
not be drawn again for a very long time.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Booleans, Curriculum, Floats, Indices
from learnalign.curriculum.checks import known_counts, require_number, require_whole
from learnalign.curriculum.posterior import BetaPosterior


class MoPPS(Curriculum):
    """Problems whose sampled success rate is nearest to the target.

    Args:
        num_problems: n, at least 1.
        seed: Seed of candidates and sampled rates.
        candidates: C, candidates per problem of the batch; at least 1.
        target: The success rate looked for, from 0 to 1.
        discount: L, the share of earlier evidence kept at each observation of a problem.
        counts: (n, 2) successes and failures known before training.
        counts_weight: What ``counts`` are multiplied by, at least 0.
    """

    name = "mopps"

    def __init__(
        self,
        num_problems: int,
        *,
        seed: int = 0,
        candidates: int = 16,
        target: float = 0.5,
        discount: float = 1.0,
        counts: ArrayLike | None = None,
        counts_weight: float = 3.0,
    ) -> None:
        super().__init__(num_problems, seed=seed)
        self.candidates = require_whole("candidates", candidates, at_least=1)
        self.target = require_number("target", target, at_most=1.0)
        weight = require_number("counts_weight", counts_weight)
        known = weight * known_counts(counts, num_problems)
        self.posterior = BetaPosterior(num_problems, discount=discount, counts=known)

    def estimates(self) -> Floats:
        """Return (n,) posterior means."""
        return self.posterior.mean()

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        left = np.flatnonzero(~excluded)
        size = min(len(left), max(count, self.candidates * count))
        candidates = self.rng.choice(left, size=size, replace=False)
        a, b = self.posterior.successes[candidates], self.posterior.failures[candidates]
        distance = (self.rng.beta(a, b) - self.target) ** 2
        return candidates[np.argsort(distance, kind="stable")[:count]]

    def _update(
        self, indices: Indices, successes: Floats, num_rollouts: Floats, has_signal: Booleans
    ) -> None:
        self.posterior.update(indices, successes, num_rollouts)

    def _options(self) -> dict[str, Any]:
        mine = {"candidates": self.candidates, "target": self.target}
        return mine | {"discount": self.posterior.discount}

    def _state(self) -> dict[str, Any]:
        return self.posterior.state()

    def _load_state(self, state: dict[str, Any]) -> None:
        self.posterior.load(state)
