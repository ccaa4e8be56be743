"""The first stage: read the pool, build each prompt, write the shards of PROBLEMS."""

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.gold_check import with_good_golds
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.verifiers import verifier_counts, verifier_line
from learnalign.runs.folder import RunFolder
from learnalign.selecting.order import budget_count, random_keys
from learnalign.tables import PROBLEMS
from learnalign.terminal.progress import Progress

if TYPE_CHECKING:
    from learnalign.problems.pool import Pool


def read_problems(
    folder: RunFolder, config: Config, resources: Resources, progress: Progress
) -> None:
    """Read the pool, build each prompt, write the shards of PROBLEMS and the original rows.

    Raises:
        LearnAlignError: if no problem of the pool can be used.
    """
    from learnalign.models.loading import context_length, vocabulary_size
    from learnalign.problems.pool import read_pool
    from learnalign.problems.prompts import Prompter, PromptError
    from learnalign.problems.reading import reading_lines

    begin = time.monotonic()
    prompter = Prompter(resources.tokenizer, config.prompt)
    pool = read_pool(config.data)
    lines = reading_lines(pool.readings)
    for line in lines:
        progress.log(line)
    folder.delete("sources")  # of an attempt that ended without a usable problem
    for index, table in pool.originals.items():
        folder.write_table(f"sources/source-{index:02d}.parquet", table)
    found = len(pool.problems)
    pool.problems = sampled_problems(pool.problems, config)
    context, vocabulary = context_length(config.model), vocabulary_size(config.model)
    kept = []
    refused: PromptError | None = None
    with progress.stage("problems", len(pool.problems) + len(pool.excluded)) as advance:
        advance(len(pool.excluded))
        for problem in pool.problems:
            advance(1)
            try:
                prompt, ids = prompter(problem["messages"], problem["row"])
            except PromptError as error:
                refused = refused or error
                _exclude(pool, problem, "template_refused", error.got)
                continue
            except LearnAlignError as error:
                where = f"problem {problem['problem_id']} (row {problem['source_row'] + 1})"
                raise LearnAlignError(
                    f"{where}: {error.got}", expected=error.expected, do=error.do
                ) from error
            unfit = _unfit(ids, resources, context, vocabulary)
            if unfit is not None:
                _exclude(pool, problem, *unfit)
                continue
            kept.append(problem | {"prompt": prompt, "prompt_ids": ids})
    if not kept and refused is not None:
        raise refused
    checked = len(kept)
    kept = with_good_golds(kept, config, pool.excluded, progress)
    golds = {"verifier": config.verifier.kind, "set_aside": checked - len(kept)}
    if not kept:
        reasons = ", ".join(sorted({row["reason"] for row in pool.excluded}))
        raise LearnAlignError(
            f"no usable problem: all {len(pool.excluded)} were excluded ({reasons})",
            expected="rows with a prompt and an answer",
            do="check --prompt-column and --answer-column",
        )
    size = config.run.shard_size
    seconds = (time.monotonic() - begin) / -(-len(kept) // size)
    for index, start in enumerate(range(0, len(kept), size)):
        table = pa.Table.from_pylist(kept[start : start + size], schema=PROBLEMS)
        excluded = pool.excluded_table() if index == 0 else None
        folder.write_shard("problems", index, table, seconds=seconds, excluded=excluded)
    columns = [reading.columns for reading in pool.readings]
    named = [{key: value for key, value in vars(c).items() if value} for c in columns]
    verifiers = verifier_counts(kept)
    facts = {"columns": named, "reading": lines, "golds": golds, "verifiers": verifiers}
    folder.finish("problems", pool=found, **facts)


def sampled_problems(problems: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    """Return the ``data.sample`` problems that the seed chooses, in the pool's order; or all.

    A problem's chance depends on its id and the seed alone, so a larger sample contains a smaller
    one. Problems that are not sampled are not listed as excluded.

    Args:
        problems: Rows of the pool, with ``problem_id``.
        config: The options; the whole pool is returned without ``data.sample``, or if it is not
            larger than that.

    Example:
        >>> pool = [{"problem_id": name} for name in "abcdefgh"]
        >>> config = Config.model_validate({"data": {"sample": 3}, "run": {"seed": 1}})
        >>> [problem["problem_id"] for problem in sampled_problems(pool, config)]
        ['a', 'd', 'g']
        >>> len(sampled_problems(pool, Config()))
        8
    """
    count = config.data.sample
    if count is None or count >= len(problems):
        return problems
    keys = random_keys([problem["problem_id"] for problem in problems], config.run.seed)
    smallest = sorted(range(len(problems)), key=keys.__getitem__)[:count]
    return [problems[i] for i in sorted(smallest)]


def report_problems(
    folder: RunFolder, config: Config, progress: Progress, *, resumed: bool
) -> None:
    """Log how the pool was read and which verifiers judge it.

    Args:
        folder: Holds the finished PROBLEMS.
        config: The options.
        progress: Where it is logged.
        resumed: Whether the pool was read by an earlier run; else reading it has logged the lines.

    Raises:
        LearnAlignError: if the pool has fewer problems than the budget.
    """
    record = folder.manifest.stages["problems"]
    if resumed:
        for line in record.facts.get("reading", []):
            progress.log(line)
    pool, sample = record.facts.get("pool"), config.data.sample
    if sample is not None and pool is not None and sample < pool:
        progress.log(f"sample: {sample:,} of the pool's {pool:,} problems, chosen by the seed")
    verifiers = record.facts.get("verifiers")
    if verifiers and config.verifier.kind == "auto":
        progress.log(verifier_line(verifiers, recorded=bool(config.rollouts.recorded)))
    budget_count(config.selection.budget, sum(shard.rows for shard in record.shards.values()))


def _unfit(
    ids: list[int], resources: Resources, context: int | None, vocabulary: int | None
) -> tuple[str, str] | None:
    """Return why the model cannot process a prompt, as (reason, detail); None if it can."""
    if context is not None and len(ids) >= context:
        return "prompt_too_long", f"{len(ids)} tokens; the model's context is {context}"
    if vocabulary is not None and max(ids, default=0) >= vocabulary:
        word = resources.tokenizer.convert_ids_to_tokens(max(ids))
        detail = f"the token {max(ids)} ({word!r}) is not one of the model's {vocabulary}"
        return "unknown_token", detail
    return None


def _exclude(pool: "Pool", problem: dict[str, Any], reason: str, detail: str) -> None:
    """Exclude a problem whose prompt cannot be used."""
    source = {key: problem[key] for key in ("problem_id", "source_index", "source_row")}
    pool.excluded.append(source | {"stage": "problems", "reason": reason, "detail": detail})
