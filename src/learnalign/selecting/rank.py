"""Rank the problems from the stages' tables: statistics, score and rank of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import spearmanr

from learnalign.config import SelectionConfig
from learnalign.errors import LearnAlignError
from learnalign.selecting.build_candidates import MethodInputs, build_candidates, column
from learnalign.selecting.candidates import Candidates
from learnalign.selecting.methods.registry import Method, method_named
from learnalign.selecting.order import budget_count, by_source, random_keys, ranking
from learnalign.selecting.statistics.alignment import Alignments, Batches, alignment_changes
from learnalign.selecting.statistics.stability import DEFINITION, Stability, stability
from learnalign.selecting.statistics.success_rates import jeffreys_interval
from learnalign.tables import SCORES

Floats = NDArray[np.float64]
Shards = Callable[[], Iterable[pa.Table]]

_TRUNCATED = 0.2


@dataclass(frozen=True)
class Ranking:
    """The ranked problems, and a summary of the selection."""

    scores: pa.Table
    """SCORES, best first."""
    summary: dict[str, Any]
    """Counts, budget, stability, warnings, as plain data."""


def rank(
    reward_stats: pa.Table,
    labels: pa.Table,
    verdicts: Shards,
    config: SelectionConfig,
    *,
    gradients: Batches | None = None,
    features: Batches | None = None,
    history: Floats | None = None,
    target: frozenset[str] | None = None,
    seed: int = 0,
) -> Ranking:
    """Rank the problems of a pool and select the first K.

    Args:
        reward_stats: REWARD_STATS of the problems that may be selected (at least two rewards each).
        labels: ``problem_id, source, difficulty, position`` of at least these problems.
        verdicts: Returns the shards of VERDICTS, for the bootstrap over rollouts.
        config: Method, budget, estimator and so on.
        gradients: Reads the gradients table in batches; None if the method does not need it.
        features: Reads the features table in batches; None if the method does not need it.
        history: (n, e) success rates of an earlier training run, rows as in ``reward_stats``.
        target: Problems to align to; None for the whole pool.
        seed: Seed of the tie-breaks and the bootstrap.

    Raises:
        LearnAlignError: if the method is unknown, the budget is larger than the pool, the pool or
            target is empty, no problem has a signal (every success rate is 0 or 1), or the method
            needs a table, a history or a target that was not passed.
    """
    method = method_named(config.method)
    if reward_stats.num_rows == 0:
        raise LearnAlignError("no problem is left to select from", do="see the excluded problems")
    count = budget_count(config.budget, reward_stats.num_rows)
    ids: list[str] = reward_stats["problem_id"].to_pylist()
    inputs = MethodInputs(gradients, features, history, target)
    candidates, aligned = build_candidates(
        method, reward_stats, inputs, config, count, random_keys(ids, seed)
    )
    scores = method.score(candidates)
    sources = _sources(ids, labels)

    def order_of(scores: Floats, learnability: Floats) -> NDArray[np.int64]:
        order = ranking(scores, candidates.tie_breaks)
        return by_source(order, sources, learnability > 0.0) if config.per_source else order

    order = order_of(scores, candidates.learnability)
    stable = None
    # Comparing each pair of problems for each resample would take hours.
    if count and config.num_bootstrap > 1 and "rows" not in method.requires:
        aligns = gradients if method.aligns == "gradients" else None
        stable = stability(
            lambda resampled: order_of(method.score(resampled), resampled.learnability),
            candidates,
            _rewards(ids, verdicts),
            count,
            changes=np.empty(0) if aligns is None else alignment_changes(aligns, aligned),
            num_bootstrap=config.num_bootstrap,
            seed=seed,
        )
    table = _table(reward_stats, labels, aligned, candidates, scores, stable).take(pa.array(order))
    table = _with(table, "rank", pa.array(np.arange(1, len(ids) + 1)))
    table = _with(table, "selected", pa.array(np.arange(len(ids)) < count))
    summary = _summary(reward_stats, config, method, candidates, scores, stable)
    return Ranking(table.cast(SCORES), summary)


def _sources(ids: list[str], labels: pa.Table) -> list[str | None]:
    indices = pc.index_in(pa.array(ids), labels["problem_id"].combine_chunks())
    sources: list[str | None] = labels["source"].take(indices).to_pylist()
    return sources


def _rewards(ids: list[str], verdicts: Shards) -> Floats:
    """Return the (n, G) rewards, NaN where there is none."""
    rewards: dict[str, list[float]] = {name: [] for name in ids}
    for shard in verdicts():
        for name, reward in zip(
            shard["problem_id"].to_pylist(), shard["reward"].to_pylist(), strict=True
        ):
            if reward is not None and name in rewards:
                rewards[name].append(reward)
    width = max(map(len, rewards.values()))
    return np.array([row + [np.nan] * (width - len(row)) for row in rewards.values()])


def _table(
    reward_stats: pa.Table,
    labels: pa.Table,
    aligned: Alignments,
    candidates: Candidates,
    scores: Floats,
    stable: Stability | None,
) -> pa.Table:
    ids = reward_stats["problem_id"]
    labelled = labels.take(pc.index_in(ids, labels["problem_id"].combine_chunks()))
    low, high = jeffreys_interval(reward_stats["num_correct"], column(reward_stats, "num_rollouts"))
    binary = reward_stats["binary"].to_numpy()
    columns = {
        "score": np.where(np.isfinite(scores), scores, 0.0),
        "learnability": candidates.learnability,
        "alignment": candidates.alignment,
        "success_rate_low": pa.array(low, mask=~binary),
        "success_rate_high": pa.array(high, mask=~binary),
        "gradient_norm": pa.array(aligned.gradient_norm, from_pandas=True),
        "stability": pa.array(stable.frequency) if stable else pa.nulls(len(ids), pa.float64()),
        "rank": pa.nulls(len(ids), pa.int64()),
        "selected": pa.nulls(len(ids), pa.bool_()),
    }
    for name in ("source", "difficulty", "position"):
        columns[name] = labelled[name]
    for name in SCORES.names:
        if name not in columns:
            columns[name] = reward_stats[name]
    return pa.table({name: columns[name] for name in SCORES.names})


def _summary(
    reward_stats: pa.Table,
    config: SelectionConfig,
    method: Method,
    candidates: Candidates,
    scores: Floats,
    stable: Stability | None,
) -> dict[str, Any]:
    signal, count = candidates.learnability > 0, candidates.count
    num_signal = int(signal.sum())
    warnings = []
    if count > num_signal and "rewards" in method.requires:
        warnings.append(
            f"only {num_signal} of the {reward_stats.num_rows} problems carry a signal, fewer than "
            f"the budget of {count}: the rest is selected at random"
        )
    rollouts = column(reward_stats, "num_rollouts").sum()
    truncated = column(reward_stats, "num_truncated").sum() / max(1.0, rollouts)
    if truncated > _TRUNCATED:
        warnings.append(
            f"{truncated:.0%} of the rollouts ended at the token limit; consider a larger "
            "--max-tokens"
        )
    finite = np.isfinite(scores) & signal
    varied = finite.sum() > 2 and min(np.ptp(x[finite]) for x in (scores, candidates.learnability))
    return {
        "method": config.method,
        "num_problems": reward_stats.num_rows,
        "budget": count,
        "num_selected": count,
        "num_signal": num_signal,
        "num_all_wrong": int((~signal & (candidates.success_rate < 0.5)).sum()),
        "num_all_right": int((~signal & (candidates.success_rate >= 0.5)).sum()),
        "spearman_score_learnability": float(
            spearmanr(scores[finite], candidates.learnability[finite]).statistic
        )
        if varied
        else None,
        "stability": {"expected_overlap": stable.expected_overlap, "definition": DEFINITION}
        if stable
        else None,
        "warnings": warnings,
    }


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
