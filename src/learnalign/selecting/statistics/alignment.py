"""Alignments from a stream of sketches: two sequential reads, memory linear in scalars."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.selecting.statistics.streaming import Piece, ahead, blocks
from learnalign.storage.sketch_column import from_column

Floats = NDArray[np.float64]

#: Reads a table from its beginning, the named columns alone, in batches of bounded size.
Batches = Callable[[Sequence[str]], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Alignments:
    """What a table of rows says of each problem of the pool."""

    places: dict[str, int]
    """Place of each problem_id in the arrays."""
    alignment: Floats
    """(n,) unit row times the reference; 0 without signal."""
    gradient_norm: Floats
    """(n,) as in the table; NaN where there is none, and for other tables."""
    mean: Floats
    """(d,) the reference: the weighted mean of the pool's or the target's unit rows; (0,) if no
    problem has a row."""


def alignments(
    batches: Batches,
    problem_ids: Sequence[str],
    weights: Floats,
    target: frozenset[str] | None = None,
    *,
    column: str = "sketch",
) -> Alignments:
    """Align each problem's row with the weighted mean of its pool (or of its target).

    alignment_i = unit row_i . mean_j w_j unit row_j, over all problems of the pool (those without a
    row add nothing to the sum, but count in the mean), or over the target's. With w = V it is
    what LearnAlign's score is made of (arXiv 2506.11480; linear in the number of problems).
    Products are float32, sums over blocks of problems float64: the error is that of float32, about
    1e-7 of the mean's norm, and the result does not depend on how the table is cut into shards.

    Args:
        batches: Reads the table of rows; called twice.
        problem_ids: The n problems of the pool; others in the table are passed over.
        weights: (n,) w of each of them; where it is 0 there is no signal, and no alignment.
        target: Problems to align to; None for the whole pool.
        column: The rows: ``sketch`` of the gradients table, ``hidden`` of the features table.

    Raises:
        LearnAlignError: for a sketch that holds Inf or NaN.
    """
    places = {name: place for place, name in enumerate(problem_ids)}
    count = len(places)
    referring = np.array(weights, dtype=np.float64)
    num_reference = count
    if target is not None:
        chosen = np.fromiter((name in target for name in problem_ids), bool, count)
        referring, num_reference = referring * chosen, int(chosen.sum())
    row_norms, gradient_norm = np.zeros(count), np.full(count, np.nan)
    known = gradient_norm if column == "sketch" else None
    total: Floats = np.zeros(0)
    for rows, at in blocks(ahead(_pieces(batches, column, places, known))):
        norms = _norms(rows, at, problem_ids)
        row_norms[at] = norms
        part = _divide(referring[at], norms).astype(np.float32) @ rows
        total = total + part if len(total) else part.astype(np.float64)
    mean = total / max(1, num_reference)
    narrow = mean.astype(np.float32)
    alignment = np.zeros(count)
    for rows, at in blocks(ahead(_pieces(batches, column, places))):
        alignment[at] = _divide(rows @ narrow, row_norms[at])
    alignment[np.asarray(weights) <= 0.0] = 0.0
    return Alignments(places, alignment, gradient_norm, mean)


def gradient_norms(batches: Batches, problem_ids: Sequence[str]) -> Floats:
    """Read the (n,) norms of the problems' gradients; 0 where there is none."""
    places = {name: place for place, name in enumerate(problem_ids)}
    norms = np.zeros(len(places))
    for batch in batches(["problem_id", "gradient_norm"]):
        ids = batch.column("problem_id").to_pylist()
        at = np.fromiter((places.get(name, -1) for name in ids), np.int64, len(ids))
        values = batch.column("gradient_norm").to_numpy(zero_copy_only=False)
        norms[at[at >= 0]] = np.nan_to_num(values[at >= 0])
    return norms


def unit_gradients(
    batches: Batches, problem_ids: Sequence[str], wanted: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Read the (m, d) unit gradients of some problems into memory.

    Args:
        batches: Reads the gradients table; called once.
        problem_ids: The n problems of the pool.
        wanted: (m,) places of those that are read; a problem without a gradient has a zero row.
    """
    places = {problem_ids[place]: row for row, place in enumerate(wanted.tolist())}
    found: NDArray[np.float32] = np.zeros((len(places), 0), np.float32)
    names = list(places)
    for rows, at in blocks(ahead(_pieces(batches, "sketch", places))):
        if not found.shape[1]:
            found = np.zeros((len(places), rows.shape[1]), np.float32)
        found[at] = rows / np.maximum(_norms(rows, at, names), 1e-30)[:, None]
    return found


def alignment_changes(batches: Batches, known: Alignments) -> Floats:
    """Measure how much alignments move when the rollouts behind a gradient are resampled.

    Args:
        batches: Reads the gradients table; called once.
        known: Its alignments.

    Returns:
        (m,) alignment of the resampled gradient less that of the first one, for the problems that
        have a resampled sketch.
    """
    changes = [np.empty(0)]
    ids, narrow = list(known.places), known.mean.astype(np.float32)
    for rows, at in blocks(ahead(_pieces(batches, "resampled_sketch", known.places))):
        if not len(narrow):
            narrow = np.zeros(rows.shape[1], np.float32)
        again = _divide(rows @ narrow, _norms(rows, at, ids))
        changes.append(again - known.alignment[at])
    return np.concatenate(changes)


def _pieces(
    batches: Batches, column: str, places: dict[str, int], gradient_norm: Floats | None = None
) -> Iterator[Piece]:
    """Give each batch's sketches and their places in the pool, -1 for those that do not count.

    Fills in ``gradient_norm`` on the way, if it is given.
    """
    names = ["problem_id", column] + ([] if gradient_norm is None else ["gradient_norm"])
    for batch in batches(names):
        ids = batch.column("problem_id").to_pylist()
        at = np.fromiter((places.get(name, -1) for name in ids), np.int64, len(ids))
        if gradient_norm is not None:
            norms = batch.column("gradient_norm").to_numpy(zero_copy_only=False)
            gradient_norm[at[at >= 0]] = norms[at >= 0]
        rows, valid = from_column(batch.column(column))
        yield rows, np.where(valid, at, -1)


def _norms(rows: NDArray[np.float32], at: NDArray[np.int64], ids: Sequence[str]) -> Floats:
    """Give the (r,) norms of rows that came from float16."""
    norms: Floats = np.sqrt(np.vecdot(rows, rows).astype(np.float64))
    if not (norms < 2.0**16).all():
        nonfinite = np.abs(rows).max(axis=1) >= 2.0**16
        if nonfinite.any():
            raise LearnAlignError(
                f"the sketch of problem '{ids[at[np.argmax(nonfinite)]]}' holds Inf or NaN",
                expected="finite numbers; a gradient that is not finite has no sketch",
                do="make the gradients anew with --redo gradients",
            )
    return norms


def _divide(values: NDArray[np.floating], norms: Floats) -> Floats:
    """Divide by norms, (r,) each; 0 where the norm is 0."""
    quotient: Floats = np.divide(values, norms, out=np.zeros(len(norms)), where=norms > 0.0)
    return quotient
