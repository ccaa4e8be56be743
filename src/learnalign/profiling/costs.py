"""What choosing would cost, against training on everything or on random problems."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.profiling.measures import Floats, column

_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with a 95 % interval, from a bootstrap over the sample's problems."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """The pool, the choice and the training whose cost is predicted."""

    pool: int
    """Usable problems of the whole pool."""
    chosen: int
    """K."""
    passes: float
    """E, passes of the training over its problems."""
    num_rollouts: int
    """G, of each problem, in the selection and in each pass."""
    reused: int
    """Problems whose rollouts exist already: the sample's."""


@dataclass(frozen=True)
class Cost:
    """What one way costs in sampling."""

    name: str
    rollouts: int
    tokens: Estimate
    """Response tokens."""


def forecast(table: pa.Table, plan: Plan, *, seed: int = 0) -> list[Cost]:
    """Predict rollouts and response tokens of five ways; the last two are differences.

    The chosen problems are expected to be as long as the sample's best by p(1-p), all others as the
    sample's mean. Only sampling is counted: learning from a rollout costs the same in each way.

    Args:
        table: MEASURED, with at least one problem.
        plan: What is planned.
        seed: Of the bootstrap.

    Returns:
        ``select``, ``train on the chosen``, ``train on everything``, ``train on random problems``
        (as many as chosen); then what selecting and training on the chosen costs ``more than
        everything`` and ``more than random problems``, negative where it saves.

    Example:
        >>> from learnalign.profiling.measures import MEASURED
        >>> rows = [{"reward_variance": v, "response_tokens": t} for v, t in [(0.25, 80), (0, 160)]]
        >>> table = pa.Table.from_pylist(rows, schema=MEASURED)
        >>> plan = Plan(pool=100, chosen=10, passes=3, num_rollouts=8, reused=0)
        >>> for cost in forecast(table, plan):
        ...     print(f"{cost.name}: {cost.rollouts:,} rollouts, {cost.tokens.value:,.0f} tokens")
        select: 800 rollouts, 12,000 tokens
        train on the chosen: 240 rollouts, 2,400 tokens
        train on everything: 2,400 rollouts, 36,000 tokens
        train on random problems: 240 rollouts, 3,600 tokens
        more than everything: -1,360 rollouts, -21,600 tokens
        more than random problems: 800 rollouts, 10,800 tokens
    """
    everyone, chosen = _lengths(table, plan, seed)
    new = max(0, plan.pool - plan.reused)
    group, passes, count = plan.num_rollouts, plan.passes, plan.chosen
    select = _Way(new * group, new * everyone)
    train = _Way(passes * count * group, passes * count * chosen)
    all_of_them = _Way(passes * plan.pool * group, passes * plan.pool * everyone)
    at_random = _Way(passes * count * group, passes * count * everyone)
    both = _Way(select.rollouts + train.rollouts, select.tokens + train.tokens)
    ways = {
        "select": select,
        "train on the chosen": train,
        "train on everything": all_of_them,
        "train on random problems": at_random,
        "more than everything": both.minus(all_of_them),
        "more than random problems": both.minus(at_random),
    }
    return [Cost(name, round(way.rollouts), _estimate(way.tokens)) for name, way in ways.items()]


@dataclass(frozen=True)
class _Way:
    rollouts: float
    tokens: Floats
    """The value, then one per resample."""

    def minus(self, other: "_Way") -> "_Way":
        return _Way(self.rollouts - other.rollouts, self.tokens - other.tokens)


def _lengths(table: pa.Table, plan: Plan, seed: int) -> tuple[Floats, Floats]:
    """Return the tokens per group of any problem and of a chosen one: (1 + resamples,) each."""
    tokens, value = column(table, "response_tokens"), column(table, "reward_variance")
    rng = np.random.default_rng(seed)
    size = table.num_rows
    draws = [np.arange(size), *rng.integers(0, size, (_RESAMPLES, size))]
    share = plan.chosen / max(1, plan.pool)
    everyone = np.array([tokens[draw].mean() for draw in draws])
    chosen = np.array([_mean_of_best(tokens[draw], value[draw], share) for draw in draws])
    return everyone, chosen


def _mean_of_best(tokens: Floats, value: Floats, share: float) -> float:
    """Average the tokens of the best share of the problems; equals share the last places.

    Example:
        >>> _mean_of_best(np.array([10.0, 20.0, 40.0, 99.0]), np.array([2.0, 1.0, 1.0, 0.0]), 0.5)
        20.0
    """
    _, kind, counts = np.unique(-value, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = np.bincount(kind, tokens) / counts
    taken = np.clip(share * len(value) - (np.cumsum(counts) - counts), 0.0, counts)
    return float((means * taken).sum() / taken.sum()) if taken.sum() else float(tokens.mean())


def _estimate(values: Floats) -> Estimate:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high))
