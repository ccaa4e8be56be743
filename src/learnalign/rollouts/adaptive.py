"""Adaptive rollouts: problems whose selection is still uncertain get more of them.

Problems are sampled in rounds. After each round, a Beta posterior (its prior fitted to the pool)
predicts each problem's success count with the full budget, and several hundred outcomes of the
whole pool are simulated and ranked. A problem stops when these selections hardly depend on its
remaining rollouts: it is nearly always out, or nearly always in. The error bounds how many may
stop: it is the expected share of the full budget's choices that are lost, estimated by ranking each
outcome once with all rollouts and once with the stopped problems as they are.

A success count under a Beta posterior is beta-binomial; the scheme follows racing algorithms (Maron
and Moore 1994) and best-arm identification, with ranking by Monte Carlo instead of confidence
bounds. Measurements are in docs/concepts/adaptive.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln

from learnalign.scoring.scores import learnability

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Standard deviation of the problems' alignments over their mean, while none are known.
ALIGNMENT_SPREAD = 0.8
#: Variance of an alignment measured with one rollout, over the variance among problems
#: (docs/results/repeatability.md: 8 rollouts have a reliability of 0.8, which is 8 / (8 + 2)).
ALIGNMENT_NOISE = 2.0
_ROUNDS = 4
_FEWEST = 2
#: Standard deviation of the Beta parameters' logarithms around 0; decides for a tiny pool.
_PRIOR_SPREAD = 1.0
#: Smaller than any difference between two learnabilities; breaks ties at random.
_TIE = 1e-9
_OUTCOMES, _FEWEST_OUTCOMES, _CELLS = 1024, 64, 200_000


@dataclass(frozen=True)
class Decision:
    """Which problems the next round samples, and the expected loss."""

    active: Bools
    """(n,) whether a problem gets more rollouts; a stopped problem stays stopped."""
    chosen: Floats
    """(n,) the current probability that the full budget would choose each problem."""
    loss: float
    """The expected share of the full budget's choices that are lost by all stops so far."""


def rounds(num_rollouts: int) -> list[int]:
    """Return the number of rollouts per problem after each round: quarters, the first at least 2.

    Example:
        >>> rounds(16), rounds(6), rounds(2)
        ([4, 8, 12, 16], [2, 3, 5, 6], [2])
    """
    ends = (-(-num_rollouts * i // _ROUNDS) for i in range(1, _ROUNDS + 1))
    return sorted({min(num_rollouts, max(_FEWEST, end)) for end in ends})


def beta_prior(correct: ArrayLike, tried: ArrayLike) -> tuple[float, float]:
    """Fit a Beta distribution to the pool's success rates.

    The most probable parameters given the beta-binomial counts; their logarithms have a normal
    prior around 0 (the uniform Beta) that weighs about one problem. Stopping problems because of
    their results does not bias the fit: the likelihood does not depend on the stopping rule.

    Args:
        correct: (n,) number of correct rollouts.
        tried: (n,) number of rollouts.

    Returns:
        Both parameters, between 0.01 and 100.

    Example:
        >>> a, b = beta_prior([0, 0, 0, 4, 4, 4], [4] * 6)
        >>> a < 1 and b < 1, round(a / b, 2)
        (True, 1.0)
        >>> beta_prior([], [])
        (1.0, 1.0)
    """
    (right, wrong), times = _states(np.asarray(correct), np.asarray(tried))[:2]

    def cost(logs: Floats) -> float:
        a, b = np.exp(logs)
        log_likelihood = times @ (betaln(right + a, wrong + b) - betaln(a, b))
        return float(logs @ logs / (2 * _PRIOR_SPREAD**2) - log_likelihood)

    best = minimize(cost, np.zeros(2), method="L-BFGS-B", bounds=[(-np.log(100), np.log(100))] * 2)
    a, b = np.exp(best.x)
    return float(a), float(b)


def predictive(right: int, wrong: int, more: int, prior: tuple[float, float]) -> Floats:
    """Return the probabilities of 0 to ``more`` correct among a problem's next ``more`` rollouts.

    The beta-binomial distribution with the posterior Beta(a + right, b + wrong).

    Returns:
        (more + 1,) probabilities.

    Example:
        >>> predictive(1, 0, 1, (1.0, 1.0)).round(4).tolist()
        [0.3333, 0.6667]
    """
    a, b = prior[0] + right, prior[1] + wrong
    j = np.arange(more + 1)
    log_ways = -np.log1p(more) - betaln(j + 1, more - j + 1)
    probabilities = np.exp(log_ways + betaln(a + j, b + more - j) - betaln(a, b))
    return np.asarray(probabilities / probabilities.sum())


def plan_next_round(
    correct: ArrayLike,
    tried: ArrayLike,
    sampled: ArrayLike,
    *,
    done: int,
    num_rollouts: int,
    count: int | None,
    error: float,
    ties: ArrayLike,
    aligned: bool = False,
    alignment: ArrayLike | None = None,
    seed: int = 0,
) -> Decision:
    """Decide after a round which problems get the next one.

    The error is spread evenly over the rounds: after the first of three decisions a third of it
    may be lost, by all stops so far.

    Args:
        correct: (n,) number of correct rollouts so far.
        tried: (n,) number of rollouts with a verdict so far.
        sampled: (n,) booleans, problems that were sampled in this round.
        done: Rollouts that each of those has had; one of `rounds`.
        num_rollouts: G, the full budget.
        count: K, the number of problems to select. None if it is unknown, or if something other
            than learnability decides: then no problem with a signal stops, and the error is the
            share that may be lost of the problems in which the full budget finds a signal.
        error: Share of the full budget's choices that may be lost, in expectation; with 0 nothing
            stops.
        ties: (n,) in [0, 1), the random keys by which the ranking breaks ties.
        aligned: Whether the score is learnability times alignment. Without ``alignment``, each
            problem's is sampled from a normal distribution, no problem is certain to be chosen, and
            a stopped problem counts as lost in every outcome where the full budget chooses it.
        alignment: (n,) alignments from the rollouts so far, NaN where there is no signal yet.
        seed: Seed of the simulated outcomes. They depend on a problem's key in ``ties``, not on
            the order of the pool.

    Example:
        >>> decision = plan_next_round(
        ...     [0, 2, 0, 1], [4, 4, 4, 4], [True] * 4, done=4, num_rollouts=8,
        ...     count=1, error=0.1, ties=[0.1, 0.2, 0.3, 0.4])
        >>> decision.active.tolist(), bool(decision.loss <= 0.1)
        ([False, True, False, True], True)
    """
    right, total = np.asarray(correct, dtype=np.int64), np.asarray(tried, dtype=np.int64)
    active, keys = np.asarray(sampled, dtype=bool), np.asarray(ties, dtype=np.float64)
    if not len(right):
        return Decision(active.copy(), np.zeros(0), 0.0)
    rng = np.random.default_rng([seed, done])
    full, now = _simulate(right, total, num_rollouts, keys, rng)
    size, blind, may_stop = count or 0, count is None, active
    if aligned and count is not None:
        measured = np.full(len(right), np.nan) if alignment is None else np.asarray(alignment)
        blind = bool(np.isfinite(measured).sum() < _FEWEST)
        normal = [_assign_by(keys, rng.standard_normal(full.shape)) for _ in range(2)]
        if blind:
            full *= 1.0 + ALIGNMENT_SPREAD * normal[0]
        else:
            full *= _alignments(measured, total, num_rollouts, *normal)
            now = now * np.nan_to_num(measured)
    if count is None:
        chosen, may_stop = full > 0.0, active & (now <= 0.0)
    else:
        full, now = full + _TIE * keys, now + _TIE * keys
        chosen = full >= _kth_highest(full, size)
    if blind:
        risk = chosen.mean(axis=0)

        def lost(stopped: Bools) -> float:
            return float(chosen[:, stopped].sum() / max(1, chosen.sum()))
    else:
        risk = (chosen != (now >= _kth_highest(full, size))).mean(axis=0)

        def lost(stopped: Bools) -> float:
            observed = np.where(stopped, now, full)
            return float((chosen & (observed < _kth_highest(observed, size))).sum() / chosen.sum())

    order = np.lexsort((keys, risk))
    spent = _share_of_rounds(done, num_rollouts) * error
    stopped, loss = _most_stops(order[may_stop[order]], ~active, lost, spent)
    return Decision(~stopped, chosen.mean(axis=0), loss)


def _states(correct: Ints, tried: Ints) -> tuple[Ints, Floats, Ints]:
    """Return the distinct (right, wrong), how often each occurs, and (n,) each problem's index."""
    pairs = np.stack([correct, tried - correct]).astype(np.int64)
    states, which, times = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    return states, times.astype(np.float64), which.reshape(-1)


def _simulate(
    right: Ints, tried: Ints, num_rollouts: int, keys: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Simulate the full budget's (m, n) learnabilities; return the (n,) current ones, too."""
    num = len(right)
    size = (int(np.clip(_CELLS // num, _FEWEST_OUTCOMES, _OUTCOMES)), num)
    prior = beta_prior(right, tried)
    chances = _assign_by(keys, rng.random(size))
    full = np.empty(size)
    states, _, which = _states(right, tried)
    for state, (k, wrong) in enumerate(states.T.tolist()):
        more = max(0, num_rollouts - k - wrong)
        cumulative = predictive(k, wrong, more, prior).cumsum()
        members = which == state
        added = np.searchsorted(cumulative, chances[:, members], side="right").clip(0, more)
        rates = (k + np.arange(more + 1)) / max(1, k + wrong + more)
        full[:, members] = learnability(rates)[added]
    return full, learnability(right / np.maximum(1, tried))


def _alignments(
    measured: Floats, tried: Ints, num_rollouts: int, truths: Floats, errors: Floats
) -> Floats:
    """Simulate the full budget's alignments: the mean of the measured and the remaining rollouts.

    The problems' true alignments are normal, with a mean and variance fitted to the measured ones;
    so is a rollout's error, with `ALIGNMENT_NOISE` times their variance.

    Args:
        measured: (n,) measured alignments, NaN if there is none.
        tried: (n,) number of rollouts they were measured with.
        num_rollouts: G.
        truths: (m, n) standard normal samples, for the true alignments.
        errors: (m, n) standard normal samples, for the errors of the remaining rollouts.

    Returns:
        (m, n) alignments.
    """
    known = np.isfinite(measured)
    used = np.where(known, tried, 0)
    noise = ALIGNMENT_NOISE / np.maximum(1, tried[known])
    mean, variance = measured[known].mean(), measured[known].var() / (1.0 + noise.mean())
    reliability = used / (used + ALIGNMENT_NOISE)
    observed = np.where(known, measured, mean)
    expected = mean + reliability * (observed - mean)
    truth = expected + np.sqrt(variance * (1.0 - reliability)) * truths
    remaining = np.maximum(0, num_rollouts - used)
    error = np.sqrt(variance * ALIGNMENT_NOISE * remaining) * errors
    return np.asarray((used * observed + remaining * truth + error) / (used + remaining))


def _assign_by(keys: Floats, samples: Floats) -> Floats:
    """Assign columns of samples by the problems' keys, so that the pool's order does not matter."""
    assigned = np.empty_like(samples)
    assigned[:, np.argsort(keys, kind="stable")] = samples
    return assigned


def _kth_highest(values: Floats, count: int) -> Floats:
    """Return the (m, 1) count-th highest value of each row of (m, n)."""
    index = max(0, values.shape[1] - count)
    return np.partition(values, index, axis=1)[:, index : index + 1]


def _share_of_rounds(done: int, num_rollouts: int) -> float:
    ends = rounds(num_rollouts)
    return sum(end <= done for end in ends) / max(1, len(ends) - 1)


def _most_stops(
    order: Ints, before: Bools, lost: Callable[[Bools], float], limit: float
) -> tuple[Bools, float]:
    """Stop as many of the first problems of ``order`` as the loss allows, by bisection."""
    stopped, loss = before.copy(), lost(before)
    low, high = 0, len(order) if limit > 0.0 else 0
    while low < high:
        middle = (low + high + 1) // 2
        tried = before.copy()
        tried[order[:middle]] = True
        if (candidate_loss := lost(tried)) <= limit:
            low, stopped, loss = middle, tried, candidate_loss
        else:
            high = middle - 1
    return stopped, loss
