"""Alignments from a stream of sketches: two sequential reads, a few scalars kept per problem."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.selecting.statistics.streaming import Piece, blocks, read_ahead
from learnalign.storage.sketch_column import from_column

Floats = NDArray[np.float64]

#: Reads the named columns of a table from its beginning, in batches of bounded size.
Batches = Callable[[Sequence[str]], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Alignments:
    """Each problem's alignment, computed from a table of rows."""

    indices: dict[str, int]
    """Index of each problem_id in the arrays."""
    alignment: Floats
    """(n,) unit row times the reference; 0 without signal."""
    gradient_norm: Floats
    """(n,) as in the table; NaN where it has none, and for other tables."""
    mean: Floats
    """(d,) the reference: the weighted mean of the unit rows of the pool or the target; (0,) if no
    problem has a row."""


def alignments(
    batches: Batches,
    problem_ids: Sequence[str],
    weights: Floats,
    target: frozenset[str] | None = None,
    *,
    column: str = "sketch",
) -> Alignments:
    """Compute each row's alignment with the weighted mean of the pool (or of the target).

    alignment_i = unit row_i . mean_j w_j unit row_j, over all problems of the pool (those without a
    row add nothing to the sum, but count in the mean), or over the target. With w = V it is a
    factor of LearnAlign's score (arXiv 2506.11480; linear in the number of problems). Products are
    float32, sums over blocks of problems float64: the error is that of float32, about 1e-7 of the
    mean's norm, and the result does not depend on how the table is sharded.

    Args:
        batches: Reads the table of rows; called twice.
        problem_ids: The n problems of the pool; others in the table are ignored.
        weights: (n,) w of each problem; with weight 0 it has no signal and no alignment.
        target: Problems to align to; None for the whole pool.
        column: ``sketch`` of the gradients table or ``hidden`` of the features table.

    Raises:
        LearnAlignError: if a sketch contains Inf or NaN.
    """
    indices = {name: index for index, name in enumerate(problem_ids)}
    count = len(indices)
    reference_weights = np.array(weights, dtype=np.float64)
    num_reference = count
    if target is not None:
        chosen = np.fromiter((name in target for name in problem_ids), bool, count)
        reference_weights, num_reference = reference_weights * chosen, int(chosen.sum())
    row_norms, gradient_norm = np.zeros(count), np.full(count, np.nan)
    known = gradient_norm if column == "sketch" else None
    total: Floats = np.zeros(0)
    for rows, index in blocks(read_ahead(_pieces(batches, column, indices, known))):
        norms = _norms(rows, index, problem_ids)
        row_norms[index] = norms
        part = _divide(reference_weights[index], norms).astype(np.float32) @ rows
        total = total + part if len(total) else part.astype(np.float64)
    mean = total / max(1, num_reference)
    mean32 = mean.astype(np.float32)
    alignment = np.zeros(count)
    for rows, index in blocks(read_ahead(_pieces(batches, column, indices))):
        alignment[index] = _divide(rows @ mean32, row_norms[index])
    alignment[np.asarray(weights) <= 0.0] = 0.0
    return Alignments(indices, alignment, gradient_norm, mean)


def gradient_norms(batches: Batches, problem_ids: Sequence[str]) -> Floats:
    """Read the (n,) norms of the problems' gradients; 0 for problems without one."""
    indices = {name: index for index, name in enumerate(problem_ids)}
    norms = np.zeros(len(indices))
    for batch in batches(["problem_id", "gradient_norm"]):
        ids = batch.column("problem_id").to_pylist()
        index = np.fromiter((indices.get(name, -1) for name in ids), np.int64, len(ids))
        values = batch.column("gradient_norm").to_numpy(zero_copy_only=False)
        norms[index[index >= 0]] = np.nan_to_num(values[index >= 0])
    return norms


def unit_gradients(
    batches: Batches,
    problem_ids: Sequence[str],
    selected: NDArray[np.int64],
    *,
    column: str = "sketch",
) -> NDArray[np.float32]:
    """Read the (m, d) unit gradients (or hidden states) of some problems into memory.

    Args:
        batches: Reads the gradients table; called once.
        problem_ids: The n problems of the pool.
        selected: (m,) indices of the problems to read; one without a gradient gets a zero row.
        column: ``sketch`` of the gradients table or ``hidden`` of the features table.
    """
    indices = {problem_ids[index]: row for row, index in enumerate(selected.tolist())}
    gradients: NDArray[np.float32] = np.zeros((len(indices), 0), np.float32)
    names = list(indices)
    for rows, index in blocks(read_ahead(_pieces(batches, column, indices))):
        if not gradients.shape[1]:
            gradients = np.zeros((len(indices), rows.shape[1]), np.float32)
        gradients[index] = rows / np.maximum(_norms(rows, index, names), 1e-30)[:, None]
    return gradients


def alignment_changes(batches: Batches, known: Alignments) -> Floats:
    """Measure how much alignments move when the rollouts behind a gradient are resampled.

    Args:
        batches: Reads the gradients table; called once.
        known: The alignments of its gradients.

    Returns:
        (m,) alignment of the resampled gradient minus that of the original one, for the problems
        that have a resampled sketch.
    """
    changes = [np.empty(0)]
    ids, mean32 = list(known.indices), known.mean.astype(np.float32)
    for rows, index in blocks(read_ahead(_pieces(batches, "resampled_sketch", known.indices))):
        if not len(mean32):
            mean32 = np.zeros(rows.shape[1], np.float32)
        resampled = _divide(rows @ mean32, _norms(rows, index, ids))
        changes.append(resampled - known.alignment[index])
    return np.concatenate(changes)


def _pieces(
    batches: Batches, column: str, indices: dict[str, int], gradient_norm: Floats | None = None
) -> Iterator[Piece]:
    """Yield each batch's sketches and their indices in the pool, -1 for those to ignore.

    Fills in ``gradient_norm``, if passed.
    """
    names = ["problem_id", column] + ([] if gradient_norm is None else ["gradient_norm"])
    for batch in batches(names):
        ids = batch.column("problem_id").to_pylist()
        index = np.fromiter((indices.get(name, -1) for name in ids), np.int64, len(ids))
        if gradient_norm is not None:
            norms = batch.column("gradient_norm").to_numpy(zero_copy_only=False)
            gradient_norm[index[index >= 0]] = norms[index >= 0]
        rows, valid = from_column(batch.column(column))
        yield rows, np.where(valid, index, -1)


def _norms(rows: NDArray[np.float32], index: NDArray[np.int64], ids: Sequence[str]) -> Floats:
    """Return the (r,) norms of rows that were converted from float16."""
    norms: Floats = np.sqrt(np.vecdot(rows, rows).astype(np.float64))
    if not (norms < 2.0**16).all():
        nonfinite = np.abs(rows).max(axis=1) >= 2.0**16
        if nonfinite.any():
            raise LearnAlignError(
                f"the sketch of problem '{ids[index[np.argmax(nonfinite)]]}' contains Inf or NaN",
                expected="finite numbers; a gradient that is not finite has no sketch",
                do="recompute the gradients with --redo gradients",
            )
    return norms


def _divide(values: NDArray[np.floating], norms: Floats) -> Floats:
    """Divide by norms, (r,) each; 0 where the norm is 0."""
    quotient: Floats = np.divide(values, norms, out=np.zeros(len(norms)), where=norms > 0.0)
    return quotient
