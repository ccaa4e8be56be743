"""The stages after the first, as functions: from one shard of problems to one of their tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.pipeline.adaptive import Round, joined, planned, with_verdicts
from learnalign.pipeline.resources import Resources
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import ROUND_NAMES
from learnalign.selecting.order import random_keys
from learnalign.selecting.statistics.success_rates import group_figures
from learnalign.tables import EXCLUDED, ROLLOUTS, ROUNDS, VERDICTS
from learnalign.terminal.progress import Advance

Reasons = list[tuple[str, str, str]]


@dataclass(frozen=True)
class StageOutput:
    """What a stage makes of one shard of problems."""

    table: pa.Table
    tokens: int = 0
    """Tokens that were sampled or differentiated."""
    reasons: Reasons = field(default_factory=list)
    """Problems that leave the pool, as (problem_id, reason, detail)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What there is to say of the rollouts."""


def rollouts(
    folder: RunFolder, index: int, resources: Resources, given: Any, advance: Advance
) -> StageOutput:
    """Sample or look up the rollouts; or put those of the rounds together."""
    if resources.config.rollouts.spend == "auto":
        table = joined(folder, resources.config, index, ROLLOUTS)
        advance(folder.read_shard("problems", index).num_rows)
        return StageOutput(table)
    resources.try_function()
    pool = folder.read_shard("problems", index)
    made = _sampled(pool, resources, advance)
    resources.keep_for_trial(pool, made.table)
    return made


def a_round(
    folder: RunFolder, index: int, resources: Resources, given: Round, advance: Advance
) -> StageOutput:
    """Sample and verify those rollouts that one round adds."""
    pool = folder.read_shard("problems", index)
    kept = given.part_of(pool)
    advance(pool.num_rows - kept.num_rows)
    if not kept.num_rows:
        return StageOutput(ROUNDS.empty_table())
    made = _sampled(kept, resources, advance, given.samples)
    said = resources.verifier.verify(kept, made.table)
    resources.verifier.require_works()
    return replace(made, table=with_verdicts(made.table, said))


def verdicts(
    folder: RunFolder, index: int, resources: Resources, given: Any, advance: Advance
) -> StageOutput:
    """Verify the rollouts; problems whose gold cannot be read leave the pool."""
    pool, made = folder.read_shard("problems", index), folder.read_shard("rollouts", index)
    if resources.config.rollouts.spend == "auto":
        table = joined(folder, resources.config, index, VERDICTS)
        advance(pool.num_rows)
    else:
        table = resources.verifier.verify(pool, made, advance)
        resources.verifier.require_works()
    reasons: Reasons = []
    for row in group_figures([made], [table]).to_pylist():
        name, count = row["problem_id"], row["num_rollouts"]
        if row["unparsed_gold"]:
            reasons.append((name, "unparsed_gold", _detail(table, name)))
        elif count < min(2, resources.config.rollouts.num_rollouts):
            reasons.append((name, "too_few_rewards", f"{count}; {_detail(table, name)}"))
    return StageOutput(table, reasons=reasons)


def references(
    folder: RunFolder, index: int, resources: Resources, given: Any, advance: Advance
) -> StageOutput:
    """Take the log-probabilities of the rollouts under the KL term's reference."""
    pool = folder.read_shard("problems", index)
    table = resources.reference.table(pool, folder.read_shard("rollouts", index))
    advance(pool.num_rows)
    return StageOutput(table)


def gradients(
    folder: RunFolder, index: int, resources: Resources, given: frozenset[str], advance: Advance
) -> StageOutput:
    """Take the policy gradient of each problem that has a signal.

    ``given`` are the problems whose gradient is taken a second time.
    """
    pulled = resources.config.gradients.kl_beta > 0.0
    table = resources.gradient_engine.rows(
        folder.read_shard("problems", index),
        folder.read_shard("rollouts", index),
        folder.read_shard("verdicts", index),
        references=folder.read_shard("references", index) if pulled else None,
        resample_ids=given,
        progress=advance,
    )
    nonfinite = table.filter(pc.equal(table["status"], "nonfinite"))["problem_id"].to_pylist()
    detail = "the gradient holds NaN or Inf"
    worked = table.filter(pc.equal(table["status"], "ok"))
    return StageOutput(
        table,
        _total(worked["num_tokens"]),
        [(name, "nonfinite_gradient", detail) for name in nonfinite],
    )


def features(
    folder: RunFolder, index: int, resources: Resources, given: Any, advance: Advance
) -> StageOutput:
    """Read what the model says of each problem without sampling: states, losses, ratings."""
    return StageOutput(
        resources.feature_engine.table(folder.read_shard("problems", index), advance)
    )


def resampled(
    folder: RunFolder, config: Config, stage: str
) -> tuple[frozenset[str], dict[str, Any]]:
    """Draw the problems with signal whose gradient is taken a second time."""
    table = figures(folder)
    ids = table.filter(pc.greater(table["reward_variance"], 0.0))["problem_id"].to_pylist()
    lots = dict(zip(ids, random_keys(ids, config.run.seed + 1).tolist(), strict=True))
    return frozenset(sorted(ids, key=lots.__getitem__)[: config.gradients.num_resampled]), {}


def figures(folder: RunFolder) -> pa.Table:
    """Sum up the verified problems that are still in the pool."""
    table = group_figures(folder.shards("rollouts"), folder.shards("verdicts"))
    excluded = folder.excluded()
    # What was left out while reading has no rollouts; a copy's id may be that of its original.
    later = excluded.filter(pc.not_equal(excluded["stage"], "problems"))
    gone = pc.is_in(table["problem_id"], later["problem_id"].combine_chunks())
    return table.filter(pc.invert(gone))


def excluded_table(pool: pa.Table, stage: str, reasons: Reasons) -> pa.Table:
    """Give the EXCLUDED table of the problems that leave the pool at a stage."""
    where = {
        row["problem_id"]: row
        for row in pool.select(["problem_id", "source_index", "source_row"]).to_pylist()
    }
    rows = [
        where[name] | {"stage": stage, "reason": reason, "detail": detail}
        for name, reason, detail in reasons
    ]
    return pa.Table.from_pylist(rows, schema=EXCLUDED)


def _sampled(
    pool: pa.Table, resources: Resources, advance: Advance, samples: range | None = None
) -> StageOutput:
    engine = resources.engine
    engine.failures.clear()
    engine.counts.clear()
    table = engine.sample(pool, advance, samples=samples)
    return StageOutput(table, _num_tokens(table), list(engine.failures), dict(engine.counts))


def _detail(verdicts: pa.Table, problem_id: str) -> str:
    rows = verdicts.filter(pc.equal(verdicts["problem_id"], problem_id))
    return next((text for text in rows["detail"].to_pylist() if text), "")


def _num_tokens(rollouts: pa.Table) -> int:
    return _total(pc.list_value_length(rollouts["token_ids"]))


def _total(values: Any) -> int:
    return int(pc.sum(values).as_py() or 0)


def _nothing(folder: RunFolder, config: Config, stage: str) -> tuple[None, dict[str, Any]]:
    return None, {}


@dataclass(frozen=True)
class Stage:
    """How a stage's table is made, wherever its shards are."""

    make: Callable[[RunFolder, int, Resources, Any, Advance], StageOutput]
    """Makes one shard."""
    prepare: Callable[[RunFolder, Config, str], tuple[Any, dict[str, Any]]] = _nothing
    """Finds out, once, what every shard is given and what the manifest keeps of that."""


#: The stages by name.
BY_NAME: dict[str, Stage] = {
    **{name: Stage(a_round, planned) for name in ROUND_NAMES},
    "rollouts": Stage(rollouts),
    "verdicts": Stage(verdicts),
    "references": Stage(references),
    "gradients": Stage(gradients, resampled),
    "features": Stage(features),
}
