r"""How rollouts agree: a model of right and wrong answers, fitted to the pool, that doubts golds.

Each problem has a chance theta that a rollout gives the right answer, and a concentration alpha of
its wrong answers: they are drawn by a Chinese restaurant process, so that a small alpha means that
wrong answers agree with each other. The gold is one more answer: right with probability
1 - epsilon, otherwise drawn like a wrong one. With n rollouts, of which n_t give the answer t, and
B(t) the other answers' counts:

    P(answers | the right one is t) = sum over theta, alpha of
        u(theta) v(alpha; theta) theta^n_t (1 - theta)^(n - n_t) EPPF(B(t); alpha)

    EPPF(n_1 ... n_k; alpha) = alpha^k (n_1 - 1)! ... (n_k - 1)! / (alpha (alpha + 1) ... (alpha + N - 1))

If the gold is right, t is the gold. If it is wrong, t is any other answer, or one that no rollout
gave, and the gold is counted among the wrong answers. Only a right answer that a rollout gave can be
shown to a person, so that the posterior is that of these cases alone.

u, v and epsilon are fitted by expectation maximization to all problems of the pool at once, on
grids, with weak priors. v differs between problems that are rarely solved and others, and is fitted
to those alone that were solved at least once: they show how much the model's mistakes agree,
whatever the share of wrong golds. Where the model is weak, gold and truth can change places: many
golds are wrong, and the model's common mistakes are right. If more than a fifth of the golds come
out as wrong, epsilon is held at its prior instead.
"""  # noqa: E501

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
#: The number of rollouts that gave the gold, and those of each other answer, in decreasing order.
Pattern = tuple[int, tuple[int, ...]]

THETA = np.array([0.0, 0.02, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.98, 1.0])
ALPHA = np.array([0.05, 0.15, 0.5, 1.5, 5.0, 15.0, 50.0])
#: A priori, golds are wrong as if 1 of 20 golds that were looked at had been.
_WRONG, _LOOKED_AT = 1.0, 20.0
#: A larger share of wrong golds is a model's common mistakes, until a person has looked.
_BELIEVED = 0.2
#: The success rate below which a problem is rarely solved.
_RARELY = 0.35
#: v of a band is fitted as if this many problems more had agreed as all problems do.
_SHRINKAGE = 5.0
_ITERATIONS, _TOLERANCE = 200, 1e-6


@dataclass(frozen=True)
class Parameters:
    """What is fitted to a pool."""

    theta: Floats
    """u, the weights of ``THETA``."""
    alpha: Floats
    """v, the weights of ``ALPHA`` for each of ``THETA``."""
    epsilon: float
    """The share of wrong golds, whether a rollout gave the right answer or not."""


@dataclass(frozen=True)
class Agreement:
    """The fitted model, and what it says of each pattern."""

    parameters: Parameters
    wrong: dict[Pattern, float]
    """The posterior that the gold is wrong and a rollout gave the right answer, by pattern."""


def fitted(patterns: Sequence[Pattern]) -> Agreement:
    """Fit the model to the problems of a pool.

    Args:
        patterns: One per problem.

    Example:
        >>> pool = [(8, ())] * 60 + [(6, (1, 1))] * 30 + [(0, (1,) * 8)] * 5 + [(0, (8,))] * 3
        >>> model = fitted(pool)
        >>> bool(model.wrong[0, (8,)] > 0.9), bool(model.wrong[0, (1,) * 8] < 0.2)
        (True, True)
    """
    counts = Counter(patterns)
    distinct = list(counts)
    weight = np.array([counts[pattern] for pattern in distinct], dtype=np.float64)
    # (3, m, theta, alpha): the likelihood of each case.
    likelihood = np.array(
        [[likelihoods(pattern)[case] for pattern in distinct] for case in (0, 1, 2)]
    ).reshape(3, len(distinct), len(THETA), len(ALPHA))
    likelihood /= np.maximum(likelihood.max(axis=(0, 2, 3), keepdims=True), 1e-300)
    solved = np.array([pattern[0] > 0 for pattern in distinct], dtype=bool)
    model = _maximized(likelihood, weight, solved, held=False)
    if model.epsilon > _BELIEVED:
        model = _maximized(likelihood, weight, solved, held=True)
    shown = _posterior(likelihood, model)[1].sum(axis=(1, 2))
    return Agreement(model, dict(zip(distinct, shown.tolist(), strict=True)))


def _maximized(likelihood: Floats, weight: Floats, solved: Booleans, *, held: bool) -> Parameters:
    """Run expectation maximization; ``held`` keeps epsilon at its prior."""
    theta = np.full(len(THETA), 1 / len(THETA))
    alpha = np.full((len(THETA), len(ALPHA)), 1 / len(ALPHA))
    model = Parameters(theta, alpha, _WRONG / _LOOKED_AT)
    doubt = np.zeros(len(weight))
    for _ in range(_ITERATIONS):
        joint = _posterior(likelihood, model)
        before, doubt = doubt, joint[1:].sum(axis=(0, 2, 3))
        mass = joint.sum(axis=0) * weight[:, None, None]
        alpha = np.empty_like(alpha)
        everywhere = _smoothed(mass[solved].sum(axis=(0, 1)))
        for band in (THETA < _RARELY, THETA >= _RARELY):
            seen = mass[solved][:, band].sum(axis=(0, 1)) + _SHRINKAGE * everywhere
            alpha[band] = seen / seen.sum()
        epsilon = (doubt @ weight + _WRONG) / (weight.sum() + _LOOKED_AT)
        theta = _smoothed(mass.sum(axis=(0, 2)))
        model = Parameters(theta, alpha, model.epsilon if held else float(epsilon))
        if np.abs(doubt - before).max(initial=0.0) < _TOLERANCE:
            break
    return model


def _posterior(likelihood: Floats, model: Parameters) -> Floats:
    """Return that of each case, theta and alpha, by pattern: (3, m, theta, alpha)."""
    cases = np.array([1 - model.epsilon, model.epsilon, model.epsilon])[:, None, None, None]
    joint = likelihood * cases * (model.theta[:, None] * model.alpha)
    return np.asarray(joint / np.maximum(joint.sum(axis=(0, 2, 3), keepdims=True), 1e-300))


def likelihoods(pattern: Pattern) -> tuple[Floats, Floats, Floats]:
    """Return the likelihoods of a pattern if the gold is right, and if it is wrong.

    Returns:
        Three arrays (theta, alpha) over the grids: the gold is right; it is wrong, and a rollout
        gave the right answer; it is wrong, and none did.

    Example:
        >>> right, wrong, unseen = likelihoods((0, (2,)))
        >>> bool(np.allclose(right[0], 1 / (1 + ALPHA)))  # theta 0: two wrong answers that agree
        True
        >>> bool(np.allclose(wrong[-1], 1.0))  # theta 1: both are right, and the gold is not
        True
    """
    gold, others = pattern
    total = gold + sum(others)
    right = _power(gold, total)[:, None] * _eppf(others)
    wrong = np.zeros((len(THETA), len(ALPHA)))
    for size, times in Counter(others).items():
        rest = list(others)
        rest.remove(size)
        wrong = wrong + times * _power(size, total)[:, None] * _eppf((gold + 1, *rest))
    return right, wrong, _power(0, total)[:, None] * _eppf((gold + 1, *others))


def _power(right: int, total: int) -> Floats:
    return np.asarray(THETA**right * (1.0 - THETA) ** (total - right), dtype=np.float64)


def _eppf(sizes: Sequence[int]) -> Floats:
    """Return the probability of a partition under each alpha."""
    total = sum(sizes)
    logs = len(sizes) * np.log(ALPHA) + gammaln(np.array(sizes, dtype=np.float64)).sum()
    return np.asarray(np.exp(logs - gammaln(ALPHA + total) + gammaln(ALPHA)), dtype=np.float64)


def _smoothed(mass: Floats) -> Floats:
    """Normalize, as if one more problem were spread evenly over the grid."""
    mass = mass + 1.0 / len(mass)
    return np.asarray(mass / mass.sum(), dtype=np.float64)
