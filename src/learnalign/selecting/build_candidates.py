"""Build a method's candidates from the tables, and check that nothing is missing."""

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
    """The inputs besides the reward statistics; None for those that the method does not require."""

    gradients: Batches | None
    features: Batches | None
    history: Floats | None
    target: frozenset[str] | None


def build_candidates(
    method: Method,
    reward_stats: pa.Table,
    inputs: MethodInputs,
    config: SelectionConfig,
    count: int,
    tie_breaks: Floats,
) -> tuple[Candidates, Alignments]:
    """Collect the inputs of a method.

    Args:
        method: The selection method.
        reward_stats: REWARD_STATS of the n problems.
        inputs: The available tables.
        config: Estimator, band, and the method's name for errors.
        count: K, the number of problems to select.
        tie_breaks: (n,) random numbers that break ties between equal scores.

    Raises:
        LearnAlignError: if the pool has no signal, or an input of the method is missing.
    """
    ids: list[str] = reward_stats["problem_id"].to_pylist()
    values = _learnability(reward_stats, config)
    if not (values > 0).any() and "rewards" in method.requires:
        raise _no_signal(reward_stats)
    _check_inputs(config.method, method, inputs, ids)
    rows = {"gradients": inputs.gradients, "features": inputs.features, None: None}[method.aligns]
    aligned = _aligned(ids, values, method, rows, inputs.target)
    candidates = Candidates(
        learnability=values,
        alignment=aligned.alignment,
        gradient_norm=aligned.gradient_norm,
        success_rate=column(reward_stats, "success_rate"),
        tie_breaks=tie_breaks,
        history=np.empty((len(ids), 0)) if inputs.history is None else inputs.history,
        rows=None if inputs.gradients is None else partial(unit_gradients, inputs.gradients, ids),
        count=count,
        band=config.band,
        **({} if inputs.features is None else _texts(inputs.features, ids)),
    )
    if "ratings" in method.requires and np.isnan(candidates.rating).all():
        raise LearnAlignError(
            "no problem has a rating",
            expected="a features table with ratings",
            do="recompute it: learnalign select --redo features --set features.ratings=true",
        )
    return candidates, aligned


def column(table: pa.Table, name: str) -> Floats:
    """Return a column as (n,) float64, NaN where it is null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _check_inputs(name: str, method: Method, inputs: MethodInputs, ids: list[str]) -> None:
    """Raise an error if an input of the method is missing."""
    remedies = {
        "gradients": "compute them with `learnalign gradients RUN`",
        "features": f"compute them with `learnalign compare RUN --methods {name} --budget K`",
        "history": "pass --history TRAINING, a training run's folder or a file of success rates",
    }
    for table, remedy in remedies.items():
        if table in method.requires and getattr(inputs, table) is None:
            raise LearnAlignError(f"method {name} needs {table}, which are missing", do=remedy)
    if method.needs_target and inputs.target is None:
        raise LearnAlignError(
            f"method {name} needs target problems to align to",
            expected="a validation set among the problems",
            do="pass --target COLUMN=VALUE, or a file of ids",
        )
    if inputs.target is not None and not inputs.target & set(ids):
        raise LearnAlignError(
            "the target contains no problem of the pool",
            expected="ids, or a column=value pair, of problems that were read and verified",
            do="correct --target",
        )


def _learnability(reward_stats: pa.Table, config: SelectionConfig) -> Floats:
    counts = column(reward_stats, "num_rollouts")
    variance = reward_variance(
        column(reward_stats, "reward_variance"), estimator=config.learnability, num_rollouts=counts
    )
    binary = reward_stats["binary"].to_numpy()
    rates = np.where(binary, column(reward_stats, "success_rate"), 0.0)
    share = learnability(rates, estimator=config.learnability, num_rollouts=counts)
    return np.where(binary, share, variance)


def _aligned(
    ids: list[str],
    values: Floats,
    method: Method,
    rows: Batches | None,
    target: frozenset[str] | None,
) -> Alignments:
    """Compute the rows' alignments with the method's reference."""
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
            do="correct --target, or sample more rollouts (--num-rollouts)",
        )
    return aligned


def _texts(features: Batches, ids: list[str]) -> dict[str, Floats]:
    """Read the numbers of the features table, NaN where it has none."""
    indices = {name: index for index, name in enumerate(ids)}
    names = ["num_prompt_tokens", "prompt_nll", "answer_nll", "answer_alone_nll", "rating"]
    result = {name: np.full(len(ids), np.nan) for name in names}
    for batch in features(["problem_id", *names]):
        known = batch.column("problem_id").to_pylist()
        index = np.fromiter((indices.get(name, -1) for name in known), np.int64, len(known))
        for name in names:
            values = batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            result[name][index[index >= 0]] = values[index >= 0]
    return result


def _no_signal(reward_stats: pa.Table) -> LearnAlignError:
    right = int((column(reward_stats, "success_rate") > 0.5).sum())
    return LearnAlignError(
        f"no problem carries a signal: of {reward_stats.num_rows} problems, {right} were always "
        f"right and {reward_stats.num_rows - right} never",
        expected="problems that some rollouts solve and others do not",
        do="if all are wrong, look at a prompt and its rollouts (learnalign inspect), raise "
        "--max-tokens, check the verifier, or use easier problems; if all are right, use harder "
        "ones; more rollouts (--num-rollouts) find rarer successes",
    )
