"""From tables to what a method may look at, and what it lacks."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.config import SelectionConfig
from learnalign.errors import LearnAlignError
from learnalign.scoring.scores import learnability, reward_variance
from learnalign.selecting.candidates import Candidates
from learnalign.selecting.methods.registry import Method
from learnalign.selecting.statistics.alignment import (
    Alignments,
    Batches,
    alignments,
    gradient_norms,
    unit_gradients,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MethodInputs:
    """What there is besides the figures; None where a method has not asked for it."""

    gradients: Batches | None
    features: Batches | None
    history: Floats | None
    target: frozenset[str] | None


def build_candidates(
    method: Method,
    figures: pa.Table,
    given: MethodInputs,
    config: SelectionConfig,
    count: int,
    tie_breaks: Floats,
) -> tuple[Candidates, Alignments]:
    """Collect what a method may look at.

    Args:
        method: The rule.
        figures: FIGURES of the n problems.
        given: The tables there are.
        config: Estimator, band, and the method's name for errors.
        count: K, how many are to be chosen.
        tie_breaks: (n,) numbers that decide between equal scores.

    Raises:
        LearnAlignError: for a pool without any signal, and whatever the method lacks.
    """
    ids: list[str] = figures["problem_id"].to_pylist()
    values = _learnability(figures, config)
    if not (values > 0).any() and "rewards" in method.requires:
        raise _no_signal(figures)
    _check_given(config.method, method, given, ids)
    rows = {"gradients": given.gradients, "features": given.features, None: None}[method.aligns]
    aligned = _aligned(ids, values, method, rows, given.target)
    candidates = Candidates(
        learnability=values,
        alignment=aligned.alignment,
        gradient_norm=aligned.gradient_norm,
        success_rate=column(figures, "success_rate"),
        tie_breaks=tie_breaks,
        history=np.empty((len(ids), 0)) if given.history is None else given.history,
        rows=None if given.gradients is None else partial(unit_gradients, given.gradients, ids),
        count=count,
        band=config.band,
        **({} if given.features is None else _texts(given.features, ids)),
    )
    if "ratings" in method.requires and np.isnan(candidates.rating).all():
        raise LearnAlignError(
            "no problem has a rating",
            expected="a features table that was made with ratings",
            do="make it anew: learnalign select --redo features --set features.ratings=true",
        )
    return candidates, aligned


def column(table: pa.Table, name: str) -> Floats:
    """Give a column as (n,) float64, NaN where it is null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _check_given(name: str, method: Method, given: MethodInputs, ids: list[str]) -> None:
    """Say what a method lacks."""
    remedies = {
        "gradients": "`learnalign gradients RUN` makes the table",
        "features": f"`learnalign compare RUN --methods {name} --budget K` makes the table",
        "history": "give --history TRAINING, the folder of a training, or a file of success rates",
    }
    for what, remedy in remedies.items():
        if what in method.requires and getattr(given, what) is None:
            raise LearnAlignError(f"method {name} looks at the {what}; there are none", do=remedy)
    if method.needs_target and given.target is None:
        raise LearnAlignError(
            f"method {name} needs problems to align to",
            expected="a validation set among the problems",
            do="give --target COLUMN=VALUE, or a file of ids",
        )
    if given.target is not None and not given.target & set(ids):
        raise LearnAlignError(
            "the target holds no problem of the pool",
            expected="ids, or a column=value pair, of problems that were read and verified",
            do="correct --target",
        )


def _learnability(figures: pa.Table, config: SelectionConfig) -> Floats:
    counts = column(figures, "num_rollouts")
    variance = reward_variance(
        column(figures, "reward_variance"), estimator=config.learnability, num_rollouts=counts
    )
    binary = figures["binary"].to_numpy()
    rates = np.where(binary, column(figures, "success_rate"), 0.0)
    share = learnability(rates, estimator=config.learnability, num_rollouts=counts)
    return np.where(binary, share, variance)


def _aligned(
    ids: list[str],
    values: Floats,
    method: Method,
    rows: Batches | None,
    target: frozenset[str] | None,
) -> Alignments:
    """Align rows to the method's reference."""
    if rows is None:
        return Alignments({}, np.zeros(len(ids)), np.full(len(ids), np.nan), np.empty(0))
    weights = values
    if method.reference == "unit":
        weights = (values > 0.0).astype(np.float64)
    elif method.reference == "gradient":
        weights = np.where(values > 0.0, gradient_norms(rows, ids), 0.0)
    column = "sketch" if method.aligns == "gradients" else "hidden"
    aligned = alignments(rows, ids, weights, target, column=column)
    if target is not None and not aligned.mean.any():
        raise LearnAlignError(
            "no problem of the target carries a signal: there is nothing to align to",
            expected="target problems that some rollouts solve and others do not",
            do="correct --target, or take more rollouts (--num-rollouts)",
        )
    return aligned


def _texts(features: Batches, ids: list[str]) -> dict[str, Floats]:
    """Read the features table's numbers, NaN where it has none."""
    places = {name: place for place, name in enumerate(ids)}
    names = ["num_prompt_tokens", "prompt_nll", "answer_nll", "answer_alone_nll", "rating"]
    found = {name: np.full(len(ids), np.nan) for name in names}
    for batch in features(["problem_id", *names]):
        known = batch.column("problem_id").to_pylist()
        at = np.fromiter((places.get(name, -1) for name in known), np.int64, len(known))
        for name in names:
            values = batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            found[name][at[at >= 0]] = values[at >= 0]
    return found


def _no_signal(figures: pa.Table) -> LearnAlignError:
    right = int((column(figures, "success_rate") > 0.5).sum())
    return LearnAlignError(
        f"no problem carries a signal: of {figures.num_rows} problems, {right} were always right "
        f"and {figures.num_rows - right} never",
        expected="problems that some rollouts solve and others do not",
        do="if all are wrong, look at a prompt and its rollouts (learnalign inspect), raise "
        "--max-tokens, check the verifier, or take easier problems; if all are right, harder ones; "
        "more rollouts (--num-rollouts) find rarer successes",
    )
