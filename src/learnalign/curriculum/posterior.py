"""A Beta posterior of each problem's success rate, with discounted evidence.

After s successes in n rollouts of a problem:

    a <- L a + (1 - L) a0 + s        b <- L b + (1 - L) b0 + (n - s)

L is the discount: the share of the earlier evidence that is kept. With L = 1 this is the ordinary
conjugate update; below 1 the posterior follows a success rate that changes as the policy learns.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Floats, Indices
from learnalign.curriculum.checks import known_counts, require_number
from learnalign.errors import LearnAlignError

Prior = tuple[float | Floats, float | Floats]


class BetaPosterior:
    """Beta(a, b) for each problem.

    Args:
        num_problems: n.
        discount: L, in (0, 1].
        prior: (a0, b0), both above 0; (1, 1) is uniform. Either may be (n,), one for each problem.
        counts: (n, 2) successes and failures known before training, added to the prior. With a
            discount they are forgotten like other evidence.

    Example:
        >>> posterior = BetaPosterior(2, discount=0.5)
        >>> for _ in range(2):
        ...     posterior.update(np.array([0]), np.array([6.0]), np.array([8.0]))
        >>> posterior.successes.tolist(), posterior.failures.tolist()
        ([10.0, 1.0], [4.0, 1.0])
    """

    def __init__(
        self,
        num_problems: int,
        *,
        discount: float = 1.0,
        prior: Prior = (1.0, 1.0),
        counts: ArrayLike | None = None,
    ) -> None:
        known = known_counts(counts, num_problems)
        if min(np.min(prior[0]), np.min(prior[1])) <= 0:
            raise LearnAlignError(
                f"got prior = {prior}", expected="two numbers above 0", do="use (1, 1)"
            )
        self.discount = require_number("discount", discount, at_most=1.0, above_0=True)
        self.prior = prior
        """(a0, b0); replace it freely, the evidence stays and is forgotten towards the new one."""
        self._evidence = known.T.copy()
        """(2, n) successes and failures without the prior."""

    @property
    def successes(self) -> Floats:
        """(n,) a."""
        found: Floats = self.prior[0] + self._evidence[0]
        return found

    @property
    def failures(self) -> Floats:
        """(n,) b."""
        found: Floats = self.prior[1] + self._evidence[1]
        return found

    def update(self, indices: Indices, successes: Floats, num_rollouts: Floats) -> None:
        """Add (k,) outcomes; a group without rollouts changes nothing."""
        seen = num_rollouts > 0
        places, right, wrong = indices[seen], successes[seen], (num_rollouts - successes)[seen]
        kept = self.discount * self._evidence[:, places]
        self._evidence[:, places] = kept + np.stack([right, wrong.clip(0.0)])

    def log_likelihood(self, indices: Indices, successes: Floats, num_rollouts: Floats) -> Floats:
        """Return (k,) log-probabilities of outcomes before they are added, without the binomial.

        log B(a + s, b + n - s) - log B(a, b), by log-gamma functions, so that sums of real-valued
        rewards have one too.

        Example:
            >>> BetaPosterior(1).log_likelihood(
            ...     np.array([0]), np.array([1.0]), np.array([1.0])).round(4).tolist()  # log 1/2
            [-0.6931]
        """
        a, b = self.successes[indices], self.failures[indices]
        wrong = num_rollouts - successes
        after = _log_gamma(a + successes) + _log_gamma(b + wrong) - _log_gamma(a + b + num_rollouts)
        return after - (_log_gamma(a) + _log_gamma(b) - _log_gamma(a + b))

    def mean(self) -> Floats:
        """Return (n,) expected success rates."""
        right = self.successes
        return right / (right + self.failures)

    def signal_chance(self, num_rollouts: int) -> Floats:
        """Return (n,) chances that G new rollouts are neither all correct nor all wrong.

        By the beta-binomial distribution, with B the Beta function:
        1 - B(a + G, b) / B(a, b) - B(a, b + G) / B(a, b).

        Example:
            >>> BetaPosterior(1).signal_chance(8).round(4).tolist()  # 1 - 2/9
            [0.7778]
        """
        a, b = self.successes, self.failures
        chance = 1.0 - _all_correct(a, b, num_rollouts) - _all_correct(b, a, num_rollouts)
        return chance.clip(0.0, 1.0)

    def state(self) -> dict[str, Any]:
        """Return the evidence as JSON-serializable data."""
        return {"evidence": self._evidence.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._evidence = np.array(state["evidence"], dtype=np.float64)


def _log_gamma(values: Floats) -> Floats:
    return np.array([math.lgamma(value) for value in values], dtype=np.float64)


def _all_correct(a: Floats, b: Floats, num_rollouts: int) -> Floats:
    """Return (n,) B(a + G, b) / B(a, b), the product of (a + k) / (a + b + k) over k < G."""
    product = np.ones_like(a)
    for k in range(num_rollouts):
        product *= (a + k) / (a + b + k)
    return product
