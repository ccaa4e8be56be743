"""Which problems get more rollouts: those whose place among the chosen is still open.

Problems are sampled in rounds. After each, a Beta posterior (its prior fitted to the pool) says
what each problem's success count might be with the full budget, and some hundred outcomes of the
whole pool are imagined and ranked. A problem stops when these selections hardly depend on the rest
of its rollouts: it is nearly always out, or nearly always in. How many may stop is bound by the
error: the expected share of the full budget's choices that are lost, counted by ranking each
outcome once with all rollouts and once with the stopped problems as they are.

The law of a success count under a Beta posterior is the beta-binomial; the scheme is that of
racing algorithms (Maron and Moore 1994) and of best-arm identification, with ranking by Monte
Carlo in place of confidence bounds. What was measured is in docs/concepts/adaptive.md.
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

#: Standard deviation of problems' alignments over their mean, where none are known yet.
ALIGNMENT_SPREAD = 0.8
#: Variance of an alignment that one rollout measures, over the variance among problems
#: (docs/results/repeatability.md: 8 rollouts have a reliability of 0.8, which is 8 / (8 + 2)).
ALIGNMENT_NOISE = 2.0
_ROUNDS = 4
_FEWEST = 2
#: Of the prior's two parameters on the log scale, about 1: what a tiny pool falls back to.
_PRIOR_SPREAD = 1.0
#: Less than any two learnabilities differ by; breaks ties between equal ones at random.
_TIE = 1e-9
_OUTCOMES, _FEWEST_OUTCOMES, _CELLS = 1024, 64, 200_000


@dataclass(frozen=True)
class Decision:
    """Which problems are sampled in the next round, and what is lost by it."""

    goes: Bools
    """(n,) whether a problem gets more rollouts; one that has stopped stays so."""
    chosen: Floats
    """(n,) the probability, so far, that the full budget would choose each."""
    loss: float
    """The expected share of the full budget's choices that are lost by all stops until now."""


def rounds(num_rollouts: int) -> list[int]:
    """Give the rollouts that a problem has after each round: quarters, the first at least 2.

    Example:
        >>> rounds(16), rounds(6), rounds(2)
        ([4, 8, 12, 16], [2, 3, 5, 6], [2])
    """
    ends = (-(-num_rollouts * i // _ROUNDS) for i in range(1, _ROUNDS + 1))
    return sorted({min(num_rollouts, max(_FEWEST, end)) for end in ends})


def beta_prior(correct: ArrayLike, tried: ArrayLike) -> tuple[float, float]:
    """Fit the Beta that the pool's success rates are drawn from.

    The most probable parameters given the counts, which are beta-binomial; their logarithms have a
    normal prior around 0 (the uniform Beta), of weight one problem or so. That some problems
    were stopped by what they showed does not bias it: likelihoods do not see the stopping rule.

    Args:
        correct: (n,) right rollouts.
        tried: (n,) rollouts.

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
        found = times @ (betaln(right + a, wrong + b) - betaln(a, b))
        return float(logs @ logs / (2 * _PRIOR_SPREAD**2) - found)

    best = minimize(cost, np.zeros(2), method="L-BFGS-B", bounds=[(-np.log(100), np.log(100))] * 2)
    a, b = np.exp(best.x)
    return float(a), float(b)


def predictive(right: int, wrong: int, more: int, prior: tuple[float, float]) -> Floats:
    """Give the probabilities of 0 to ``more`` right ones among a problem's next ``more`` rollouts.

    The beta-binomial law with the posterior Beta(a + right, b + wrong).

    Returns:
        (more + 1,) probabilities.

    Example:
        >>> predictive(1, 0, 1, (1.0, 1.0)).round(4).tolist()
        [0.3333, 0.6667]
    """
    a, b = prior[0] + right, prior[1] + wrong
    j = np.arange(more + 1)
    ways = -np.log1p(more) - betaln(j + 1, more - j + 1)
    law = np.exp(ways + betaln(a + j, b + more - j) - betaln(a, b))
    return np.asarray(law / law.sum())


def plan_next_round(
    correct: ArrayLike,
    tried: ArrayLike,
    going: ArrayLike,
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

    The error is spent evenly over the rounds: after the first of three decisions a third of it
    may be lost, counting all stops until then.

    Args:
        correct: (n,) right rollouts so far.
        tried: (n,) rollouts with a verdict so far.
        going: (n,) booleans, problems that were sampled in this round.
        done: Rollouts that those have had; one of `rounds`.
        num_rollouts: G, the full budget.
        count: K, how many problems are to be chosen. None if that is not known, or decided by
            something else than learnability: then no problem stops that has a signal, and the
            others are as many as may be lost of the problems that the full budget finds one in.
        error: Share of the full budget's choices that may be lost, in expectation; at 0 nothing
            stops.
        ties: (n,) the lot by which the ranking decides between equal scores, in [0, 1).
        aligned: Whether the score is learnability times alignment. If the alignment is not given,
            each problem's is drawn from a normal law, nothing is sure to be chosen, and a
            stopped problem counts as lost wherever the full budget chooses it.
        alignment: (n,) alignments by the rollouts so far, NaN where there is no signal yet.
        seed: Of the imagined outcomes. They depend on a problem's lot, never on the pool's order.

    Example:
        >>> found = plan_next_round([0, 2, 0, 1], [4, 4, 4, 4], [True] * 4, done=4, num_rollouts=8,
        ...                  count=1, error=0.1, ties=[0.1, 0.2, 0.3, 0.4])
        >>> found.goes.tolist(), bool(found.loss <= 0.1)
        ([False, True, False, True], True)
    """
    right, total = np.asarray(correct, dtype=np.int64), np.asarray(tried, dtype=np.int64)
    active, lots = np.asarray(going, dtype=bool), np.asarray(ties, dtype=np.float64)
    if not len(right):
        return Decision(active.copy(), np.zeros(0), 0.0)
    rng = np.random.default_rng([seed, done])
    full, now = _imagined(right, total, num_rollouts, lots, rng)
    size, blind, may_stop = count or 0, count is None, active
    if aligned and count is not None:
        told = np.full(len(right), np.nan) if alignment is None else np.asarray(alignment)
        blind = bool(np.isfinite(told).sum() < _FEWEST)
        normal = [_in_order_of(lots, rng.standard_normal(full.shape)) for _ in range(2)]
        if blind:
            full *= 1.0 + ALIGNMENT_SPREAD * normal[0]
        else:
            full *= _alignments(told, total, num_rollouts, *normal)
            now = now * np.nan_to_num(told)
    if count is None:
        chosen, may_stop = full > 0.0, active & (now <= 0.0)
    else:
        full, now = full + _TIE * lots, now + _TIE * lots
        chosen = full >= _least(full, size)
    if blind:
        stake = chosen.mean(axis=0)

        def lost(stopped: Bools) -> float:
            return float(chosen[:, stopped].sum() / max(1, chosen.sum()))
    else:
        stake = (chosen != (now >= _least(full, size))).mean(axis=0)

        def lost(stopped: Bools) -> float:
            seen = np.where(stopped, now, full)
            return float((chosen & (seen < _least(seen, size))).sum() / chosen.sum())

    order = np.lexsort((lots, stake))
    spent = _share_of_rounds(done, num_rollouts) * error
    stopped, loss = _most_stops(order[may_stop[order]], ~active, lost, spent)
    return Decision(~stopped, chosen.mean(axis=0), loss)


def _states(correct: Ints, tried: Ints) -> tuple[Ints, Floats, Ints]:
    """Give the distinct (right, wrong), how often each occurs, and (n,) which one a problem has."""
    pairs = np.stack([correct, tried - correct]).astype(np.int64)
    states, which, times = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    return states, times.astype(np.float64), which.reshape(-1)


def _imagined(
    right: Ints, tried: Ints, num_rollouts: int, lots: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Imagine the full budget's (m, n) learnabilities; give the (n,) present ones too."""
    num = len(right)
    size = (int(np.clip(_CELLS // num, _FEWEST_OUTCOMES, _OUTCOMES)), num)
    prior = beta_prior(right, tried)
    chances = _in_order_of(lots, rng.random(size))
    full = np.empty(size)
    states, _, which = _states(right, tried)
    for state, (k, wrong) in enumerate(states.T.tolist()):
        more = max(0, num_rollouts - k - wrong)
        law = predictive(k, wrong, more, prior).cumsum()
        here = which == state
        added = np.searchsorted(law, chances[:, here], side="right").clip(0, more)
        full[:, here] = learnability((k + np.arange(more + 1)) / max(1, k + wrong + more))[added]
    return full, learnability(right / np.maximum(1, tried))


def _alignments(
    told: Floats, tried: Ints, num_rollouts: int, truths: Floats, errors: Floats
) -> Floats:
    """Imagine the full budget's alignments: the mean of what is measured and of what is to come.

    Problems' true alignments are normal, with a mean and a variance that fit those measured; so is
    a rollout's error, whose variance is `ALIGNMENT_NOISE` times theirs.

    Args:
        told: (n,) measured alignments, NaN where there is none.
        tried: (n,) rollouts that they were measured with.
        num_rollouts: G.
        truths: (m, n) standard normal draws, for the truth.
        errors: (m, n) standard normal draws, for the errors to come.

    Returns:
        (m, n) alignments.
    """
    known = np.isfinite(told)
    behind = np.where(known, tried, 0)
    noise = ALIGNMENT_NOISE / np.maximum(1, tried[known])
    mean, variance = told[known].mean(), told[known].var() / (1.0 + noise.mean())
    trust = behind / (behind + ALIGNMENT_NOISE)
    seen = np.where(known, told, mean)
    truth = mean + trust * (seen - mean) + np.sqrt(variance * (1.0 - trust)) * truths
    coming = np.maximum(0, num_rollouts - behind)
    error = np.sqrt(variance * ALIGNMENT_NOISE * coming) * errors
    return np.asarray((behind * seen + coming * truth + error) / (behind + coming))


def _in_order_of(lots: Floats, draws: Floats) -> Floats:
    """Hand out columns of draws by the problems' lots, so that the pool's order does not matter."""
    placed = np.empty_like(draws)
    placed[:, np.argsort(lots, kind="stable")] = draws
    return placed


def _least(values: Floats, count: int) -> Floats:
    """Give the (m, 1) count-th highest value of each row of (m, n)."""
    at = max(0, values.shape[1] - count)
    return np.partition(values, at, axis=1)[:, at : at + 1]


def _share_of_rounds(done: int, num_rollouts: int) -> float:
    ends = rounds(num_rollouts)
    return sum(end <= done for end in ends) / max(1, len(ends) - 1)


def _most_stops(
    order: Ints, before: Bools, lost: Callable[[Bools], float], most: float
) -> tuple[Bools, float]:
    """Stop the first problems of ``order``, as many as the loss allows, by bisection."""
    stopped, loss = before.copy(), lost(before)
    low, high = 0, len(order) if most > 0.0 else 0
    while low < high:
        middle = (low + high + 1) // 2
        tried = before.copy()
        tried[order[:middle]] = True
        if (here := lost(tried)) <= most:
            low, stopped, loss = middle, tried, here
        else:
            high = middle - 1
    return stopped, loss
