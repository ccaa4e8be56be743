"""The numbers of the report, computed from the tables, independent of HTML and figures."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import spearmanr

from learnalign.tables import VERDICT_KINDS

Floats = NDArray[np.float64]

NOT_GIVEN = "not given"


@dataclass(frozen=True)
class Tile:
    """A key number at the top of the report."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Stratum:
    """Number of problems of one source or difficulty, and of those chosen."""

    name: str
    total: int
    chosen: int


@dataclass(frozen=True)
class Count:
    """A name with its count and its share of the total (0 to 1)."""

    name: str
    count: int
    share: float


@dataclass(frozen=True)
class StageCost:
    """Cost of a stage: seconds of wall-clock time, tokens, bytes on disk."""

    name: str
    rows: int
    seconds: float
    tokens: int
    bytes: int


def numbers(table: pa.Table, column: str) -> Floats:
    """Return a numeric or boolean column as float64, with NaN for nulls.

    Example:
        >>> numbers(pa.table({"score": [1, None]}), "score")
        array([ 1., nan])
    """
    values = table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return cast(Floats, np.asarray(values, dtype=np.float64))


def texts(table: pa.Table, column: str) -> list[str | None]:
    """Return a text column as a list, with None for nulls."""
    return cast("list[str | None]", table[column].to_pylist())


def chosen(scores: pa.Table) -> NDArray[np.bool_]:
    """Return whether each ranked problem was chosen, shape [n]."""
    return np.equal(numbers(scores, "selected"), 1.0)


def success_edges(rate: Floats, rollouts: Floats, correct: Floats) -> Floats:
    """Return bin edges: one bin per possible rate if groups have equal size and rewards are 0/1.

    Example:
        >>> success_edges(np.array([0.5, 1.0]), np.array([2.0, 2.0]), np.array([1.0, 2.0])).tolist()
        [-0.25, 0.25, 0.75, 1.25]
    """
    group = rollouts[0]
    discrete = bool(np.all(rollouts == group) and np.allclose(rate * rollouts, correct))
    if discrete and 1 <= group <= 32:
        return np.asarray((np.arange(group + 2) - 0.5) / group, dtype=np.float64)
    low, high = min(0.0, float(rate.min())), max(1.0, float(rate.max()))
    return np.linspace(low, high, 21)


@dataclass(frozen=True)
class SuccessCounts:
    """Problems by success rate: of the pool, and the chosen ones."""

    edges: Floats
    pool: NDArray[np.int64]
    chosen: NDArray[np.int64]


def success_counts(scores: pa.Table) -> SuccessCounts | None:
    """Count the problems in each bin of success rates; None if no rate is known.

    Example:
        >>> table = {"success_rate": [0.5, 1.0, None], "num_rollouts": [2, 2, 0]}
        >>> table |= {"num_correct": [1, 2, 0], "selected": [True, False, False]}
        >>> found = success_counts(pa.table(table))
        >>> found.pool.tolist(), found.chosen.tolist()
        ([0, 1, 1], [0, 1, 0])
    """
    rate = numbers(scores, "success_rate")
    known = np.isfinite(rate)
    if not known.any():
        return None
    rollouts, correct = numbers(scores, "num_rollouts"), numbers(scores, "num_correct")
    edges = success_edges(rate[known], rollouts[known], correct[known])
    pool, taken = (np.histogram(rate[m], edges)[0] for m in (known, known & chosen(scores)))
    return SuccessCounts(edges, pool, taken)


def spearman(x: Floats, y: Floats) -> tuple[float | None, int]:
    """Return Spearman's rank correlation over the pairs without NaN, and the number of pairs.

    The correlation is None if it is undefined: fewer than three pairs, or a constant input.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
        (1.0, 3)
        >>> spearman(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
        (None, 1)
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, len(x)
    return round(float(spearmanr(x, y).statistic), 12), len(x)


def strata(scores: pa.Table, column: str) -> list[Stratum]:
    """Count pool and chosen problems by ``source`` or ``difficulty``; empty if all are null.

    Sources are sorted by size, difficulties in natural order (level 2 before level 10).
    """
    names = [name if name is not None else NOT_GIVEN for name in texts(scores, column)]
    if set(names) <= {NOT_GIVEN}:
        return []
    total = Counter(names)
    selected = Counter(
        name for name, is_chosen in zip(names, chosen(scores), strict=True) if is_chosen
    )
    rows = [Stratum(name, count, selected[name]) for name, count in total.items()]
    if column == "difficulty":
        return sorted(rows, key=lambda row: natural(row.name))
    return sorted(rows, key=lambda row: (-row.total, row.name))


def verdict_counts(verdicts: pa.Table) -> list[Count]:
    """Count the rollouts by verdict; all kinds are listed, in a fixed order."""
    counts = Counter(texts(verdicts, "verdict"))
    return _counts({kind: counts[kind] for kind in VERDICT_KINDS})


def verifier_counts(summary: dict[str, Any]) -> list[Count]:
    """Return the summary's number of problems by verifier; empty if it has none.

    Example:
        >>> [(row.name, row.share) for row in verifier_counts({"verifiers": {"math": 3, "a": 1}})]
        [('math', 0.75), ('a', 0.25)]
    """
    return _counts(summary.get("verifiers", {}))


def excluded_counts(excluded: pa.Table) -> list[Count]:
    """Count the excluded problems by reason, most frequent first."""
    counts = Counter(
        f"{reason} ({stage})"
        for stage, reason in zip(texts(excluded, "stage"), texts(excluded, "reason"), strict=True)
    )
    return _counts(dict(counts.most_common()))


def finding_counts(audit: dict[str, int] | None) -> list[Count]:
    """Return the number of findings by kind; empty without an audit.

    Example:
        >>> finding_counts(None), [row.name for row in finding_counts({"copies": 2})]
        ([], ['copies'])
    """
    return _counts(audit or {})


def stage_costs(manifest: dict[str, Any]) -> list[StageCost]:
    """Sum rows, seconds, tokens and bytes over each stage's shards, in the manifest's order."""
    costs = []
    for name, stage in manifest.get("stages", {}).items():
        shards = list(stage["shards"].values())
        costs.append(
            StageCost(
                name=name,
                rows=sum(shard["rows"] for shard in shards),
                seconds=sum(shard["seconds"] for shard in shards),
                tokens=sum(shard["tokens"] for shard in shards),
                bytes=sum(shard["bytes"] for shard in shards),
            )
        )
    return costs


def total_cost(costs: list[StageCost]) -> StageCost:
    """Sum the costs of all stages."""
    return StageCost(
        name="all stages",
        rows=sum(cost.rows for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        tokens=sum(cost.tokens for cost in costs),
        bytes=sum(cost.bytes for cost in costs),
    )


def truncated(scores: pa.Table) -> Count:
    """Count the rollouts of ranked problems that reached the token limit."""
    count = int(np.nansum(numbers(scores, "num_truncated")))
    total = int(np.nansum(numbers(scores, "num_rollouts")))
    return Count("truncated", count, count / total if total else 0.0)


def _counts(counts: dict[str, int]) -> list[Count]:
    total = sum(counts.values())
    return [Count(name, count, count / total if total else 0.0) for name, count in counts.items()]


def natural(name: str) -> tuple[bool, list[tuple[bool, float, str]]]:
    """Sort key: digits as numbers, "not given" last."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    pieces = [
        (not part[:1].isdigit(), float(part), "") if part[:1].isdigit() else (True, 0.0, part)
        for part in parts
        if part
    ]
    return name == NOT_GIVEN, pieces
