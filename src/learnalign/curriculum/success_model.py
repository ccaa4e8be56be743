"""A logistic model of the problems' success rates over features, learned online.

For the success rate p of a problem with features x,

    logit p = w . x + c,   w ~ N(m, S)

and every observed group moves (m, S) by one Newton step of its binomial likelihood (assumed density
filtering, an extended Kalman filter for a logistic observation). Between steps S grows a little,
because the policy learns and w with it. A group counts as at most ``weight`` rollouts: problems
that look alike still differ, so eight rollouts of one say less than one rollout of each of eight.

It predicts problems that were never sampled, and follows those that were not sampled for long.
"""

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Floats, Indices
from learnalign.errors import LearnAlignError

#: Prior variance of the weights and the intercept.
_VARIANCE = 4.0
#: Largest residual of a Newton step, in log odds; far from 1/2 the plain step overshoots.
_LONGEST = 4.0
#: What a step adds to the variances.
_DRIFT = 1e-3


class SuccessModel:
    """Predicts success rates.

    Args:
        features: (n, d) finite numbers; they are scaled to a mean square norm of 1.
        weight: Rollouts that a group counts as, at most.
    """

    def __init__(self, features: ArrayLike, *, weight: float = 2.0) -> None:
        given = np.asarray(features, dtype=np.float32)
        if given.ndim != 2 or not np.isfinite(given).all():
            raise LearnAlignError(
                f"got features of shape {given.shape}",
                expected="finite numbers, one row for each problem",
                do="pass `text_features(texts)` or hidden states",
            )
        norm = np.sqrt(np.mean(np.square(given, dtype=np.float64).sum(axis=1)))
        scaled = given / np.float32(max(float(norm), 1e-12))
        self.features = np.concatenate([scaled, np.ones((len(given), 1), np.float32)], axis=1)
        self.weight = weight
        size = self.features.shape[1]
        self.mean = np.zeros(size)
        self.covariance = _VARIANCE * np.eye(size)

    def predict(self, indices: Indices | None = None) -> Floats:
        """Return (k,) expected success rates, of all if None, by MacKay's approximation."""
        x = self.features if indices is None else self.features[indices]
        logits = x @ self.mean.astype(np.float32)
        spread = np.einsum("nd,nd->n", x @ self.covariance.astype(np.float32), x)
        rates: Floats = _sigmoid(logits / np.sqrt(1 + np.pi * spread / 8)).astype(np.float64)
        return rates

    def update(self, indices: Indices, successes: Floats, num_rollouts: Floats) -> None:
        """Learn from (k,) groups."""
        for index, right, count in zip(indices, successes, num_rollouts, strict=True):
            if count > 0:
                self._learn(self.features[index].astype(np.float64), right / count, count)

    def drift(self) -> None:
        """Forget a little, once a step; no variance grows beyond the prior's."""
        diagonal = np.einsum("ii->i", self.covariance)  # a view
        diagonal[diagonal < _VARIANCE] += _DRIFT

    def _learn(self, x: Floats, rate: float, count: float) -> None:
        weight = min(count, self.weight)
        expected = float(_sigmoid(x @ self.mean))
        curvature = max(weight * expected * (1 - expected), 1e-6)
        along = self.covariance @ x
        gain = along / (1 / curvature + x @ along)
        # A Newton step: the residual in log odds is (rate - expected) / (expected (1 - expected)).
        self.mean += gain * np.clip(weight * (rate - expected) / curvature, -_LONGEST, _LONGEST)
        self.covariance -= np.outer(gain, along)

    @cached_property
    def digest(self) -> str:
        """Identify the features, which are not part of the state."""
        return hashlib.sha256(np.ascontiguousarray(self.features).tobytes()).hexdigest()[:16]

    def state(self) -> dict[str, Any]:
        """Return the state as JSON-serializable data."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.mean, self.covariance = np.array(state["mean"]), np.array(state["covariance"])


def _sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(values, -30.0, 30.0)))
