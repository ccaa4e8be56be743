"""Alignments from shards of sketches, in two sequential reads and memory linear in scalars."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.scoring.scores import unit_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alignments:
    """What the gradients table says of each problem in it, by problem_id."""

    alignment: dict[str, float]
    """Unit gradient times the mean z; 0 without signal."""
    gradient_norm: dict[str, float]
    status: dict[str, str]
    mean: Floats
    """(d,) mean z of the pool or the target."""


def alignments(
    shards: Callable[[], Iterable[pa.Table]],
    learnability: Mapping[str, float],
    target: frozenset[str] | None = None,
) -> Alignments:
    """Align each problem's gradient with the mean of its pool (or of its target).

    alignment_i = unit gradient_i . mean_j z_j with z_j = V_j unit gradient_j, over all problems in
    ``learnability`` (those without a gradient add nothing to the sum, but count in the mean), or
    over the target's (arXiv 2506.11480, the score; linear in the number of problems).

    Args:
        shards: Gives the shards of the gradients table; called twice.
        learnability: V of each problem of the pool, by problem_id; others in the table are passed
            over.
        target: Problems to align to; None for the whole pool.

    Returns:
        The alignments, and the table's norms and statuses beside them.
    """
    pool = frozenset(learnability)
    reference = pool if target is None else target & pool
    total: Floats | None = None
    for shard in shards():
        ids, rows = _sketches(shard)
        weights = np.array([learnability[i] if i in reference else 0.0 for i in ids])
        part = weights @ unit_rows(rows) if len(ids) else np.zeros(rows.shape[1])
        total = part if total is None else total + part
    mean = np.zeros(0) if total is None else total / max(1, len(reference))
    found: dict[str, float] = {}
    norms: dict[str, float] = {}
    statuses: dict[str, str] = {}
    for shard in shards():
        ids, rows = _sketches(shard)
        found.update(zip(ids, (unit_rows(rows) @ mean).tolist(), strict=True))
        for name, status, norm in zip(
            *(shard[column].to_pylist() for column in ("problem_id", "status", "gradient_norm")),
            strict=True,
        ):
            statuses[name], norms[name] = status, norm
    aligned = {
        name: found.get(name, 0.0) if learnability[name] > 0.0 else 0.0
        for name in statuses
        if name in pool
    }
    return Alignments(aligned, norms, statuses, mean)


def alignment_changes(shards: Iterable[pa.Table], known: Alignments) -> Floats:
    """Measure how much alignments move when the rollouts behind a gradient are resampled.

    Args:
        shards: The gradients table.
        known: Its alignments.

    Returns:
        (m,) alignment of the resampled gradient less that of the first one, for the problems that
        have a resampled sketch.
    """
    changes = [np.empty(0)]
    for shard in shards:
        ids, rows = _sketches(shard, "resampled_sketch")
        kept = [i for i, name in enumerate(ids) if name in known.alignment]
        before = np.array([known.alignment[ids[i]] for i in kept])
        if kept:
            changes.append(unit_rows(rows[kept]) @ known.mean - before)
    return np.concatenate(changes)


def _sketches(shard: pa.Table, column: str = "sketch") -> tuple[list[str], NDArray[np.float16]]:
    """Give the ids and the (n, d) sketches of the rows that have one."""
    shard = shard.combine_chunks()
    size = shard.schema.field(column).type.list_size
    kept = shard.filter(shard[column].is_valid())
    if kept.num_rows == 0:
        return [], np.zeros((0, size), np.float16)
    values = kept[column].combine_chunks()
    flat = values.flatten() if isinstance(values, pa.Array) else values.chunk(0).flatten()
    rows: NDArray[np.float16] = flat.to_numpy(zero_copy_only=False).reshape(-1, size)
    return kept["problem_id"].to_pylist(), rows
