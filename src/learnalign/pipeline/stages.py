"""All stages, in order, and the functions that compute one shard of their tables."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.pipeline import adaptive
from learnalign.pipeline import fingerprints as options
from learnalign.pipeline.imported import require_tokens
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.stage import Reasons, ShardTask, Stage, StageOutput
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import ROUND_NAMES
from learnalign.selecting.order import random_keys
from learnalign.selecting.statistics.success_rates import group_reward_stats
from learnalign.tables import ROLLOUTS, ROUNDS, VERDICTS
from learnalign.terminal.progress import Advance


def _round(task: ShardTask) -> StageOutput:
    """Sample and verify the rollouts that one round adds."""
    pool, plan = task.read("problems"), task.plan
    sampled = plan.part_of(pool)
    task.advance(pool.num_rows - sampled.num_rows)
    if not sampled.num_rows:
        return StageOutput(ROUNDS.empty_table())
    output = _sample(sampled, task.resources, task.advance, plan.samples)
    verdicts = task.resources.verifier.verify(sampled, output.table)
    task.resources.verifier.require_works()
    return replace(output, table=adaptive.with_verdicts(output.table, verdicts))


def _rollouts(task: ShardTask) -> StageOutput:
    """Sample or look up the rollouts, or combine those of the rounds."""
    pool, resources = task.read("problems"), task.resources
    if resources.config.rollouts.spend == "auto":
        table = adaptive.joined(task.folder, resources.config, task.index, ROLLOUTS)
        task.advance(pool.num_rows)
        return StageOutput(table)
    resources.try_function()
    output = _sample(pool, resources, task.advance)
    resources.keep_for_trial(pool, output.table)
    return output


def _verdicts(task: ShardTask) -> StageOutput:
    """Verify the rollouts; problems whose gold cannot be read leave the pool."""
    pool, rollouts, resources = task.read("problems"), task.read("rollouts"), task.resources
    if resources.config.rollouts.spend == "auto":
        table = adaptive.joined(task.folder, resources.config, task.index, VERDICTS)
        task.advance(pool.num_rows)
    else:
        table = resources.verifier.verify(pool, rollouts, task.advance)
        resources.verifier.require_works()
    reasons: Reasons = []
    for row in group_reward_stats([rollouts], [table]).to_pylist():
        name, count = row["problem_id"], row["num_rollouts"]
        if row["unparsed_gold"]:
            reasons.append((name, "unparsed_gold", _detail(table, name)))
        elif count < min(2, resources.config.rollouts.num_rollouts):
            reasons.append((name, "too_few_rewards", f"{count}; {_detail(table, name)}"))
    return StageOutput(table, reasons=reasons)


def _references(task: ShardTask) -> StageOutput:
    """Compute the rollouts' log-probabilities under the reference of the KL term."""
    pool = task.read("problems")
    table = task.resources.reference.table(pool, task.read("rollouts"))
    task.advance(pool.num_rows)
    return StageOutput(table)


def _gradients(task: ShardTask) -> StageOutput:
    """Compute the policy gradient of each problem that has a signal.

    The plan is the set of problems whose gradient is also computed from a resample.
    """
    with_kl = task.resources.config.gradients.kl_beta > 0.0
    table = task.resources.gradient_engine.rows(
        task.read("problems"),
        task.read("rollouts"),
        task.read("verdicts"),
        references=task.read("references") if with_kl else None,
        resample_ids=task.plan,
        progress=task.advance,
    )
    nonfinite = table.filter(pc.equal(table["status"], "nonfinite"))["problem_id"].to_pylist()
    reasons = [(name, "nonfinite_gradient", "the gradient has NaN or Inf") for name in nonfinite]
    finite = table.filter(pc.equal(table["status"], "ok"))
    return StageOutput(table, _total(finite["num_tokens"]), reasons)


def _features(task: ShardTask) -> StageOutput:
    """Compute what needs no sampling: hidden states, losses, the model's own ratings."""
    return StageOutput(task.resources.feature_engine.table(task.read("problems"), task.advance))


def _resampled(
    folder: RunFolder, config: Config, stage: str
) -> tuple[frozenset[str], dict[str, Any]]:
    """Choose at random the problems whose gradient is also computed from a resample."""
    require_tokens(folder)
    table = reward_stats(folder)
    ids = table.filter(pc.greater(table["reward_variance"], 0.0))["problem_id"].to_pylist()
    keys = dict(zip(ids, random_keys(ids, config.run.seed + 1).tolist(), strict=True))
    return frozenset(sorted(ids, key=keys.__getitem__)[: config.gradients.num_resampled]), {}


def _round_stage(index: int) -> Stage:
    name, earlier = ROUND_NAMES[index], ROUND_NAMES[:index]
    return Stage(
        name,
        reads=("problems", *earlier),
        options=options.later_round_options if earlier else options.round_options,
        run=_round,
        part_of_run=lambda config: name in adaptive.names(config),
        prepare=adaptive.planned,
    )


#: The stages by name, in the order in which they run.
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("problems", reads=(), options=options.pool_options),
        *map(_round_stage, range(len(ROUND_NAMES))),
        Stage(
            "rollouts",
            reads=("problems", *ROUND_NAMES),
            options=options.sampling_options,
            run=_rollouts,
        ),
        Stage(
            "verdicts",
            reads=("problems", "rollouts"),
            options=options.verifier_options,
            run=_verdicts,
        ),
        Stage(
            "references",
            reads=("problems", "rollouts"),
            options=options.reference_options,
            run=_references,
            part_of_run=lambda config: config.gradients.kl_beta > 0.0,
        ),
        Stage(
            "gradients",
            reads=("problems", "rollouts", "verdicts", "references"),
            options=options.gradient_options,
            run=_gradients,
            prepare=_resampled,
        ),
        Stage("features", reads=("problems",), options=options.feature_options, run=_features),
    )
}


def reward_stats(folder: RunFolder) -> pa.Table:
    """Summarise the rewards of each verified problem that is still in the pool."""
    table = group_reward_stats(folder.shards("rollouts"), folder.shards("verdicts"))
    excluded = folder.excluded()
    # Rows excluded on reading have no rollouts, and a duplicate's id may be that of its original.
    later = excluded.filter(pc.not_equal(excluded["stage"], "problems"))
    gone = pc.is_in(table["problem_id"], later["problem_id"].combine_chunks())
    return table.filter(pc.invert(gone))


def _sample(
    pool: pa.Table, resources: Resources, advance: Advance, samples: range | None = None
) -> StageOutput:
    engine = resources.engine
    engine.failures.clear()
    engine.counts.clear()
    table = engine.sample(pool, advance, samples=samples)
    tokens = _total(pc.list_value_length(table["token_ids"]))
    return StageOutput(table, tokens, list(engine.failures), dict(engine.counts))


def _detail(verdicts: pa.Table, problem_id: str) -> str:
    rows = verdicts.filter(pc.equal(verdicts["problem_id"], problem_id))
    return next((text for text in rows["detail"].to_pylist() if text), "")


def _total(values: Any) -> int:
    return int(pc.sum(values).as_py() or 0)
