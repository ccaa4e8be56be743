"""Rules that choose a tenth of a pool for `paying.py`, from what a selection knows of it.

Value of a problem in ``learnability``: p(1-p). In ``learnalign``: times the cosine of its gradient
with the pool's mean gradient, the paper's rule. The others change one thing each:

- ``per source``: as ``--per-source``, kinds in proportion to their problems with a signal.
- ``in proportion``: sampled in proportion to the value, instead of taking the largest.
- ``and random``: half of the problems at random.
- ``gate``: at random among the problems with a signal whose gradient points with the pool's mean.
- ``source alignment``, ``cluster alignment``: the mean gradient of the own kind, or of the own of
  twelve clusters of gradients, instead of the pool's.
- ``spread``: greedily the problems for which sum_j sqrt(sum_i v_i v_j max(0, cos_ij)) grows most,
  over chosen i and all j; what is covered already counts for less.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.selecting.order import by_source, ranking

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLUSTERS = 12


@dataclass(frozen=True)
class Scored:
    """A scored pool of n problems."""

    ids: NDArray[np.str_]
    rates: Floats
    """(n,) success rates."""
    alignment: Floats
    """(n,) cosine with the pool's mean gradient; 0 without a gradient."""
    sources: list[str]
    units: Floats
    """(n, d) gradients of norm 1; 0 for problems without one."""

    @classmethod
    def of(cls, scores: pa.Table, units: dict[str, Floats]) -> "Scored":
        """Collect it from SCORES and the gradients of norm 1 by problem_id."""
        ids = scores["problem_id"].to_pylist()
        size = len(next(iter(units.values()))) if units else 1
        alignment = scores["alignment"].to_numpy(zero_copy_only=False).astype(float)
        return cls(
            np.array(ids),
            scores["success_rate"].to_numpy(),
            np.nan_to_num(alignment, nan=0.0),
            scores["source"].to_pylist(),
            np.stack([units.get(name, np.zeros(size)) for name in ids]),
        )

    @property
    def signal(self) -> NDArray[np.bool_]:
        """(n,) whether some rollouts are right and some are wrong."""
        return (self.rates > 0) & (self.rates < 1)

    @property
    def learnability(self) -> Floats:
        """(n,) p(1-p)."""
        return self.rates * (1 - self.rates)


VALUES: dict[str, Callable[[Scored], Floats]] = {
    "random": lambda pool: np.ones(len(pool.ids)),
    "signal": lambda pool: pool.signal.astype(float),
    "learnability": lambda pool: pool.learnability,
    "learnalign": lambda pool: pool.learnability * pool.alignment,
    "gate": lambda pool: (pool.signal & (pool.alignment > 0)).astype(float),
}


def choose(pool: Scored, rule: str, count: int, seed: int) -> list[str]:
    """Return the chosen problems.

    Args:
        pool: The scored pool.
        rule: A name in VALUES, optionally with ``per source``, ``in proportion`` or ``and
            random``; ``source alignment``, ``cluster alignment`` or ``spread``.
        count: Number of problems.
        seed: Seed of random choices and ties.
    """
    rng = np.random.default_rng([seed, sum(map(ord, rule))])
    if rule == "spread":
        return list(pool.ids[spread(pool, count, rng)])
    if rule.endswith(" alignment"):
        groups = _codes(pool.sources) if rule.startswith("source") else clusters(pool.units, rng)
        value = pool.learnability * group_alignment(pool, groups)
    else:
        value = VALUES[rule.split()[0]](pool)
    if rule.endswith("in proportion"):
        keys = np.log(np.maximum(value, 1e-300)) + rng.gumbel(size=len(value))
        return list(pool.ids[np.argsort(-keys)[:count]])
    order = ranking(value, rng.random(len(value)))
    if rule.endswith("per source"):
        order = by_source(order, pool.sources, pool.signal)
    if rule.endswith("and random"):
        half = order[: count // 2]
        rest = rng.permutation(order[count // 2 :])[: count - len(half)]
        order = np.concatenate([half, rest])
    return list(pool.ids[order[:count]])


def group_alignment(pool: Scored, groups: Ints) -> Floats:
    """Return (n,) inner products of the unit gradients with their group's mean of v times them."""
    weighted = pool.learnability[:, None] * pool.units
    found = np.zeros(len(groups))
    for group in np.unique(groups):
        members = groups == group
        found[members] = pool.units[members] @ weighted[members].mean(axis=0)
    return found


def clusters(units: Floats, rng: np.random.Generator, *, steps: int = 20) -> Ints:
    """Group unit vectors by spherical k-means; zero vectors belong to the first cluster."""
    known = np.flatnonzero(units.any(axis=1))
    groups = np.zeros(len(units), dtype=np.int64)
    if len(known) <= CLUSTERS:
        return groups
    rows = units[known]
    centres = rows[rng.choice(len(rows), CLUSTERS, replace=False)]
    for _ in range(steps):
        nearest = (rows @ centres.T).argmax(axis=1)
        for number in range(CLUSTERS):
            members = rows[nearest == number]
            if len(members):
                mean = members.sum(axis=0)
                centres[number] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    groups[known] = nearest
    return groups


def spread(pool: Scored, count: int, rng: np.random.Generator) -> Ints:
    """Return the greedy choice with diminishing returns, ties at random."""
    value = pool.learnability
    similar = np.maximum(pool.units @ pool.units.T, 0.0) * np.outer(value, value)
    covered, free = np.zeros(len(value)), np.ones(len(value), dtype=bool)
    ties = rng.random(len(value)) * 1e-12
    chosen = []
    for _ in range(count):
        gains = np.sqrt(covered + similar).sum(axis=1) - np.sqrt(covered).sum() + ties
        gains[~free] = -np.inf
        best = int(gains.argmax())
        chosen.append(best)
        free[best] = False
        covered = covered + similar[best]
    return np.array(chosen)


def _codes(names: list[str]) -> Ints:
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)
