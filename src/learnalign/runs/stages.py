"""The stages as functions from shard to shard; models are loaded when a shard first needs them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.runs.fingerprints import reference_model
from learnalign.runs.folder import RunFolder
from learnalign.runs.progress import Advance, Progress
from learnalign.runs.workshop import Workshop
from learnalign.selecting.figures import group_figures
from learnalign.selecting.order import luck
from learnalign.tables import EXCLUDED, PROBLEMS

Reasons = list[tuple[str, str, str]]


def problems(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Read the pool, build each prompt, write the shards of PROBLEMS and the sources' originals."""
    from learnalign import files
    from learnalign.errors import LearnAlignError
    from learnalign.models import context_length
    from learnalign.problems.pool import read_pool
    from learnalign.problems.prompts import Prompter

    begin = time.monotonic()
    prompter = Prompter(shop.tokenizer, config.prompt)
    pool = read_pool(config.data)
    for index, table in pool.originals.items():
        files.write_table(folder.path / "sources" / f"source-{index:02d}.parquet", table)
    context = context_length(config.model)
    kept = []
    with progress.stage("problems", len(pool.problems) + len(pool.excluded)) as advance:
        advance(len(pool.excluded))
        for problem in pool.problems:
            advance(1)
            prompt, ids = prompter(problem["messages"], problem["row"])
            if context is not None and len(ids) >= context:
                detail = f"{len(ids)} tokens; the model sees {context}"
                where = {key: problem[key] for key in ("problem_id", "source_index", "source_row")}
                pool.excluded.append(
                    where | {"stage": "problems", "reason": "prompt_too_long", "detail": detail}
                )
                continue
            kept.append(problem | {"prompt": prompt, "prompt_ids": ids})
    if not kept:
        seen = ", ".join(sorted({row["reason"] for row in pool.excluded}))
        raise LearnAlignError(
            f"no usable problem: all {len(pool.excluded)} were set aside ({seen})",
            expected="rows with a prompt and an answer",
            do="check --prompt-column and --answer-column",
        )
    size = config.run.shard_size
    seconds = (time.monotonic() - begin) / -(-len(kept) // size)
    for index, start in enumerate(range(0, len(kept), size)):
        table = pa.Table.from_pylist(kept[start : start + size], schema=PROBLEMS)
        excluded = pool.excluded_table() if index == 0 else None
        folder.write_shard("problems", index, table, seconds=seconds, excluded=excluded)
    columns = [{key: value for key, value in vars(c).items() if value} for c in pool.columns]
    folder.finish("problems", columns=columns)


def rollouts(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Sample or look up the rollouts of each shard of problems."""
    engine: Any = None
    with _each_shard(folder, "rollouts", progress) as (indices, advance):
        for index in indices:
            if engine is None:
                engine = shop.engine()
            begin = time.monotonic()
            pool = folder.read_shard("problems", index)
            engine.failures.clear()
            table = engine.sample(pool, advance)
            folder.write_shard(
                "rollouts",
                index,
                table,
                seconds=time.monotonic() - begin,
                tokens=_total(pc.list_value_length(table["token_ids"])),
                excluded=_excluded(pool, "rollouts", engine.failures),
            )
    folder.finish("rollouts")


def verdicts(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Verify each shard of rollouts; problems whose gold cannot be read leave the pool."""
    from learnalign.verifying.verifier import open_verifier

    with (
        open_verifier(config.verifier) as verifier,
        _each_shard(folder, "verdicts", progress) as (indices, advance),
    ):
        for index in indices:
            begin = time.monotonic()
            pool, made = folder.read_shard("problems", index), folder.read_shard("rollouts", index)
            table = verifier.verify(pool, made, advance)
            reasons: Reasons = []
            for row in group_figures([made], [table]).to_pylist():
                name, count = row["problem_id"], row["num_rollouts"]
                if row["unparsed_gold"]:
                    reasons.append((name, "unparsed_gold", _detail(table, name)))
                elif count < min(2, config.rollouts.num_rollouts):
                    reasons.append((name, "too_few_rewards", f"{count}; {_detail(table, name)}"))
            excluded = _excluded(pool, "verdicts", reasons)
            seconds = time.monotonic() - begin
            folder.write_shard("verdicts", index, table, seconds=seconds, excluded=excluded)
    folder.finish("verdicts")


def references(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Take the log-probabilities of the rollouts under the KL term's reference."""
    engine: Any = None
    with _each_shard(folder, "references", progress) as (indices, advance):
        for index in indices:
            if engine is None:
                from learnalign.gradients.logprobs import LogProbs

                engine = LogProbs(
                    shop.model("gradients", reference_model(config)),
                    temperature=config.rollouts.temperature,
                    token_budget=config.gradients.token_budget,
                )
            begin = time.monotonic()
            pool, made = folder.read_shard("problems", index), folder.read_shard("rollouts", index)
            table = engine.table(pool, made)
            advance(pool.num_rows)
            seconds = time.monotonic() - begin
            folder.write_shard("references", index, table, seconds=seconds)
    folder.finish("references")


def gradients(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Take the policy gradient of each problem that has a signal."""
    engine: Any = None
    resampled, pulled = _resampled(folder, config), config.gradients.kl_beta > 0.0
    with _each_shard(folder, "gradients", progress) as (indices, advance):
        for index in indices:
            if engine is None:
                from learnalign.gradients.engine import GradientEngine

                engine = GradientEngine(
                    shop.model("gradients"),
                    config.gradients,
                    temperature=config.rollouts.temperature,
                    seed=config.run.seed,
                    max_tokens=config.rollouts.max_tokens,
                )
            begin = time.monotonic()
            pool = folder.read_shard("problems", index)
            made, said = folder.read_shard("rollouts", index), folder.read_shard("verdicts", index)
            table = engine.rows(
                pool,
                made,
                said,
                references=folder.read_shard("references", index) if pulled else None,
                resample_ids=resampled,
                progress=advance,
            )
            sick = table.filter(pc.equal(table["status"], "nonfinite"))["problem_id"].to_pylist()
            detail = "the gradient holds NaN or Inf"
            worked = table.filter(pc.equal(table["status"], "ok"))
            folder.write_shard(
                "gradients",
                index,
                table,
                seconds=time.monotonic() - begin,
                tokens=_total(worked["num_tokens"]),
                excluded=_excluded(
                    pool, "gradients", [(name, "nonfinite_gradient", detail) for name in sick]
                ),
            )
    folder.finish("gradients")


def features(folder: RunFolder, config: Config, shop: Workshop, progress: Progress) -> None:
    """Read what the model says of each problem without sampling: states, losses, ratings."""
    engine: Any = None
    with _each_shard(folder, "features", progress) as (indices, advance):
        for index in indices:
            if engine is None:
                from learnalign.features.engine import FeatureEngine

                engine = FeatureEngine(
                    shop.model("gradients"),
                    shop.tokenizer,
                    ratings=config.features.ratings,
                    token_budget=config.gradients.token_budget,
                )
            begin = time.monotonic()
            table = engine.table(folder.read_shard("problems", index), advance)
            seconds = time.monotonic() - begin
            folder.write_shard("features", index, table, seconds=seconds)
    folder.finish("features")


def figures(folder: RunFolder) -> pa.Table:
    """Sum up the verified problems that are still in the pool."""
    table = group_figures(folder.shards("rollouts"), folder.shards("verdicts"))
    excluded = folder.excluded()
    # What was left out while reading has no rollouts; a copy's id may be that of its original.
    later = excluded.filter(pc.not_equal(excluded["stage"], "problems"))
    gone = pc.is_in(table["problem_id"], later["problem_id"].combine_chunks())
    return table.filter(pc.invert(gone))


@contextmanager
def _each_shard(
    folder: RunFolder, stage: str, progress: Progress
) -> Iterator[tuple[Iterator[int], Advance]]:
    """Give the indices of the shards that are still to be made, and a progress function."""
    shards = folder.manifest.stages["problems"].shards
    made = folder.manifest.stages[stage].shards
    left = [index for index in sorted(shards) if index not in made]
    total = sum(shard.rows for shard in shards.values())
    done = total - sum(shards[index].rows for index in left)
    if not left:
        yield iter([]), lambda count: None
        return
    with progress.stage(stage, total, done) as advance:
        yield iter(left), advance


def _resampled(folder: RunFolder, config: Config) -> frozenset[str]:
    """Draw the problems with signal whose gradient is taken a second time."""
    table = figures(folder)
    ids = table.filter(pc.greater(table["reward_variance"], 0.0))["problem_id"].to_pylist()
    lots = dict(zip(ids, luck(ids, config.run.seed + 1).tolist(), strict=True))
    return frozenset(sorted(ids, key=lots.__getitem__)[: config.gradients.num_resampled])


def _excluded(pool: pa.Table, stage: str, reasons: Reasons) -> pa.Table:
    where = {
        row["problem_id"]: row
        for row in pool.select(["problem_id", "source_index", "source_row"]).to_pylist()
    }
    rows = [
        where[name] | {"stage": stage, "reason": reason, "detail": detail}
        for name, reason, detail in reasons
    ]
    return pa.Table.from_pylist(rows, schema=EXCLUDED)


def _detail(verdicts: pa.Table, problem_id: str) -> str:
    rows = verdicts.filter(pc.equal(verdicts["problem_id"], problem_id))
    return next((text for text in rows["detail"].to_pylist() if text), "")


def _total(values: Any) -> int:
    return int(pc.sum(values).as_py() or 0)


#: The stages by name, in their order.
RUN: dict[str, Callable[[RunFolder, Config, Workshop, Progress], None]] = {
    "problems": problems,
    "rollouts": rollouts,
    "verdicts": verdicts,
    "references": references,
    "gradients": gradients,
    "features": features,
}
