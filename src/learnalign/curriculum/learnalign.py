"""LearnAlign at every step: passes that skip what teaches nothing.

Problems come up in shuffled passes, so that what is trained on stays as mixed as the pool. One that
comes up is taken with the chance

    max(floor, min(w / gate, 1) x v)

and skipped in this pass otherwise. w is the chance that G rollouts have both outcomes, for
p ~ Beta(a, b), as in `mapp`:

    w = 1 - B(a + G, b) / B(a, b) - B(a, b + G) / B(a, b)

v is the chance that the problem's gradient agrees with its own earlier ones (`agreement`), where
the trainer sketches gradients: a problem with random rewards always has a signal, and would never
be skipped without it. The floor keeps every problem in the training: a success rate of 0 may be a
format that the policy has not learned yet. Groups without a signal are dropped and refilled, as in
`Dynamic`, unless ``refill`` is false.

(a, b) depends on more than the problem's own outcomes:

- What is observed of a problem counts for problems that are like it: a logistic model of the
  success rates over features (`success_model`) expects the rate of each, also of those that were
  never sampled, or not for long.
- The prior is fitted to the pool: (a0, b0) has the mean and the spread of the success rates seen so
  far, around what the model expects. A pool in which most problems are either solved or not has a0,
  b0 below 1, and a problem without a single success soon stops being likely to have a signal.
- Evidence is forgotten at the rate that predicts best. For each of some discounts L the posterior
  predicts every group before it is seen; predictions are averaged with weights that follow their
  likelihoods (Bayesian model averaging), so that forgetting follows the policy's drift.

The formulas are ours; w is MaPP's, the discounted posterior MoPPS's, and skipping in passes with
dropped groups refilled GRESO's. Sampling in proportion to w instead of in passes was measured, and
narrowed the training (docs/results/curriculum_trainings.md).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.agreement import Agreement
from learnalign.curriculum.base import Booleans, Curriculum, Floats, Indices
from learnalign.curriculum.checks import (
    known_counts,
    require_number,
    require_numbers,
    require_switch,
    require_whole,
)
from learnalign.curriculum.passes import Passes
from learnalign.curriculum.pool_prior import PoolPrior
from learnalign.curriculum.posterior import BetaPosterior
from learnalign.curriculum.success_model import SuccessModel
from learnalign.errors import LearnAlignError

#: Discounts that are averaged, from no forgetting to forgetting most at each observation.
DISCOUNTS = (1.0, 0.9, 0.75, 0.5, 0.25)
#: Known counts that the model and the prior learn from, a random sample if there are more, and how
#: many at a time.
_MOST_COUNTS, _COUNTS_A_STEP = 20_000, 256
#: Weight of the past in the averaged log-likelihoods, per step.
_MEMORY = 0.95


class LearnAlign(Curriculum):
    """Passes that skip problems in proportion to their chances of no signal or of noise.

    Args:
        num_problems: n, at least 1.
        seed: Seed of shuffling and skipping.
        num_rollouts: G, rollouts per problem.
        gate: Chance of a signal from which a problem is not skipped, above 0.
        floor: Smallest chance that a problem that comes up is taken, above 0.
        refill: Whether groups without a signal are dropped and refilled; false for trainers that
            cannot.
        fitted_prior: Whether the prior is fitted to the pool; otherwise it is uniform.
        gradients: Whether it asks the trainer for sketches of gradients, and leaves noise out.
        features: (n, d) what problems have in common, such as `text_features`; without them,
            problems that were never sampled are all alike.
        discounts: Discounts that are averaged.
        counts: (n, 2) successes and failures known before training, such as a selection's.
    """

    name = "learnalign"

    def __init__(
        self,
        num_problems: int,
        *,
        seed: int = 0,
        num_rollouts: int = 8,
        gate: float = 0.5,
        floor: float = 0.05,
        refill: bool = True,
        fitted_prior: bool = True,
        gradients: bool = True,
        features: ArrayLike | None = None,
        discounts: tuple[float, ...] = DISCOUNTS,
        counts: ArrayLike | None = None,
    ) -> None:
        super().__init__(num_problems, seed=seed)
        self.num_rollouts = require_whole("num_rollouts", num_rollouts, at_least=2)
        self.gate = require_number("gate", gate, at_most=1.0, above_0=True)
        self.floor = require_number("floor", floor, at_most=1.0, above_0=True)
        self.drops = require_switch("refill", refill)
        self.fitted_prior = require_switch("fitted_prior", fitted_prior)
        self.uses_gradients = require_switch("gradients", gradients)
        discounts = require_numbers("discounts", discounts)
        self.passes = Passes(self.num_problems, shuffled=True, seed=self.seed)
        self.agreement = Agreement(num_problems)
        self.prior = PoolPrior()
        self.model = None if features is None else SuccessModel(features)
        if self.model is not None and len(self.model.features) != num_problems:
            raise LearnAlignError(
                f"got features of {len(self.model.features)} problems",
                expected=f"{num_problems} rows",
                do="pass one row for each problem, in their order",
            )
        self.posteriors = [
            BetaPosterior(num_problems, discount=discount, counts=counts) for discount in discounts
        ]
        self._learn_counts(known_counts(counts, num_problems))
        #: (k,) discounted log-likelihoods of the discounts' predictions.
        self.likelihoods = np.zeros(len(discounts))

    def estimates(self) -> Floats:
        """Return (n,) expected success rates."""
        return self._discount_weights() @ np.stack(
            [posterior.mean() for posterior in self.posteriors]
        )

    def signal_chances(self) -> Floats:
        """Return (n,) chances that G new rollouts have both outcomes."""
        chances = [posterior.signal_chance(self.num_rollouts) for posterior in self.posteriors]
        return self._discount_weights() @ np.stack(chances)

    def noise_chances(self) -> Floats | None:
        """Return (n,) posterior chances of noise; NaN for problems that were trained on once."""
        return 1.0 - self.agreement.posterior() if self.agreement.fitted else None

    def metrics(self) -> dict[str, float]:
        """Add passes, the pool's prior, the mean discount and the share of noise."""
        discounts = [posterior.discount for posterior in self.posteriors]
        a, b = self.prior.values()
        return super().metrics() | {
            "passes": float(self.passes.begun),
            "prior_a": float(a),
            "prior_b": float(b),
            "discount": float(self._discount_weights() @ np.array(discounts)),
            "noise": self.agreement.share,
        }

    def keep_chances(self) -> Floats:
        """Return (n,) chances that a problem is taken when it comes up."""
        signal = np.minimum(self.signal_chances() / self.gate, 1.0)
        return np.maximum(signal * self.agreement.weights(), self.floor)

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        chances = self.keep_chances()
        return self.passes.take(
            count, excluded, lambda places: self.rng.random(len(places)) >= chances[places]
        )

    def _update(
        self, indices: Indices, successes: Floats, num_rollouts: Floats, has_signal: Booleans
    ) -> None:
        known = self.times_observed[indices] > 1
        for k, posterior in enumerate(self.posteriors):
            logs = posterior.log_likelihood(indices, successes, num_rollouts)
            self.likelihoods[k] += float(logs[known].sum())
            posterior.update(indices, successes, num_rollouts)
        self._learn(indices, successes, num_rollouts)
        self._set_prior()

    def _update_gradients(self, indices: Indices, sketches: Floats) -> None:
        self.agreement.observe(indices, sketches)

    def _end_step(self) -> None:
        self.likelihoods *= _MEMORY
        if self.model is not None:
            self.model.drift()
            self._set_prior()

    def _learn(self, indices: Indices, successes: Floats, num_rollouts: Floats) -> None:
        """Learn the pool's distribution of success rates, and what they depend on."""
        expected = None if self.model is None else self.model.predict(indices)
        self.prior.observe(successes, num_rollouts, expected)
        if self.model is not None:
            self.model.update(indices, successes, num_rollouts)

    def _learn_counts(self, counts: Floats) -> None:
        """Observe known counts of some problems in a random order, as if in steps."""
        places = self.rng.permutation(np.flatnonzero(counts.sum(axis=1) > 0))[:_MOST_COUNTS]
        for start in range(0, len(places), _COUNTS_A_STEP):
            some = places[start : start + _COUNTS_A_STEP]
            self._learn(some, counts[some, 0], counts[some].sum(axis=1))
        if len(places):
            self._set_prior()

    def _set_prior(self) -> None:
        """Use what was learned as the prior of every problem."""
        if self.fitted_prior:
            values = self.prior.values(None if self.model is None else self.model.predict())
            for posterior in self.posteriors:
                posterior.prior = values

    def _discount_weights(self) -> Floats:
        relative = np.exp(self.likelihoods - self.likelihoods.max())
        weights: Floats = relative / relative.sum()
        return weights

    def _options(self) -> dict[str, Any]:
        return {
            "num_rollouts": self.num_rollouts,
            "gate": self.gate,
            "floor": self.floor,
            "refill": self.drops,
            "fitted_prior": self.fitted_prior,
            "gradients": self.uses_gradients,
            "discounts": [posterior.discount for posterior in self.posteriors],
            "features": None if self.model is None else self.model.digest,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "posteriors": [posterior.state() for posterior in self.posteriors],
            "prior": self.prior.state(),
            "agreement": self.agreement.state(),
            "model": None if self.model is None else self.model.state(),
            "likelihoods": self.likelihoods.tolist(),
            "passes": self.passes.state(),
        }

    def _load_state(self, state: dict[str, Any]) -> None:
        for posterior, saved in zip(self.posteriors, state["posteriors"], strict=True):
            posterior.load(saved)
        self.prior.load(state["prior"])
        self.agreement.load(state["agreement"])
        if self.model is not None:
            self.model.load(state["model"])
        self._set_prior()
        self.likelihoods = np.array(state["likelihoods"], dtype=np.float64)
        self.passes.load(state["passes"])
