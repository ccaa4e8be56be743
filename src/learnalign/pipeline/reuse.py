"""Rollouts of an earlier run in place of new ones: a training's last steps, or a run's tables."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.fingerprints import sampling_options
from learnalign.rollouts.reused import recent_groups, whole_groups
from learnalign.runs.fingerprints import differences
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES

#: The columns of PROBLEMS that `reused_groups` reads.
PROMPT_COLUMNS = ("problem_id", "prompt_ids")
#: Options that may differ: rollouts of another seed, or more of them, are as good.
_FREE = ("run.seed", "rollouts.num_rollouts")


def reusable_folder(config: Config) -> RunFolder:
    """Open the folder of ``rollouts.reuse``, and check that its rollouts may replace new ones.

    Args:
        config: The options, with ``rollouts.reuse``.

    Raises:
        LearnAlignError: if it has no finished rollouts; or, for the folder of a selection, a
            profile or a `rollout`, if they are of another policy, sampled with other options, or
            fewer than ``rollouts.num_rollouts``. A training's policy is not compared: its last
            steps sampled with almost the one that came out.
    """
    path = config.rollouts.reuse
    assert path is not None
    folder = RunFolder(path)
    if folder.num_shards("history"):
        return RunFolder(path, TRAINING_TABLES)
    record = folder.manifest.stages.get("rollouts")
    if record is None or not record.complete:
        what = "rollouts to reuse" if record is None else "finished rollouts"
        raise LearnAlignError(
            f"{path} has no {what}",
            expected="the folder of a finished train, profile, rollout or select",
            do="check --reuse"
            if record is None
            else "run the command that began it again, which resumes it",
        )
    ours = _compared(sampling_options(config))
    theirs = _compared(record.options)
    changed = differences({name: theirs.get(name) for name in ours}, ours)
    if changed:
        raise LearnAlignError(
            f"the rollouts of {path} were sampled with other options: " + "; ".join(changed),
            expected="the same policy and the same sampling",
            do="give the options that it was made with (its config.yaml), or leave out --reuse",
        )
    found, wanted = int(record.options["rollouts.num_rollouts"]), config.rollouts.num_rollouts
    if found < wanted:
        raise LearnAlignError(
            f"{path} has {found} rollouts per problem, of {wanted} that are wanted",
            expected=f"at least {wanted}",
            do=f"give --num-rollouts {found}, or leave out --reuse",
        )
    return folder


def reused_groups(config: Config, problems: Iterable[pa.RecordBatch]) -> pa.Table:
    """Read the rollouts of ``rollouts.reuse`` that replace new ones.

    Args:
        config: The options, with ``rollouts.reuse``.
        problems: The pool's PROBLEMS, at least the columns ``PROMPT_COLUMNS``.

    Returns:
        ROLLOUTS, the samples 0 to G-1 of each problem that has them.

    Raises:
        LearnAlignError: as `reusable_folder` does; if none of the problems is in the folder; or if
            one is there with another prompt.
    """
    folder = reusable_folder(config)
    pool = _prompts(problems)
    theirs = _prompts(folder.batches("problems", PROMPT_COLUMNS))
    shared = pool.keys() & theirs.keys()
    if not shared:
        raise LearnAlignError(
            f"none of the pool's {len(pool):,} problems is in {folder.path}",
            expected="a run on some of the same problems",
            do="check --reuse and DATA",
        )
    other = next((name for name in sorted(shared) if pool[name] != theirs[name]), None)
    if other is not None:
        raise LearnAlignError(
            f"problem {other} has another prompt in {folder.path}",
            expected="the same prompts: template, system prompt, instruction and prefix",
            do="give the same prompt options, or leave out --reuse",
        )
    group = config.rollouts.num_rollouts
    if "history" in folder.stages:
        return recent_groups(
            lambda: folder.shards("history"),
            steps=config.rollouts.reuse_steps,
            num_rollouts=group,
        )
    ids = pa.array(sorted(shared), pa.string())
    shards = (t.filter(pc.is_in(t["problem_id"], ids)) for t in folder.shards("rollouts"))
    return whole_groups(pa.concat_tables(shards), num_rollouts=group)


def _compared(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ, and the paths of weights that are compared themselves."""
    free = list(_FREE)
    if options.get("model.weights"):
        free.append("model.path")
    if options.get("model.adapter.weights"):
        free.append("model.adapter")
    return {
        name: value
        for name, value in options.items()
        if name not in free and not name.startswith("rollouts.reuse")
    }


def _prompts(problems: Iterable[pa.RecordBatch]) -> dict[str, bytes]:
    """Hash the token ids of each problem's prompt."""
    return {
        name: blake2b(repr(ids).encode(), digest_size=16).digest()
        for batch in problems
        for name, ids in zip(
            batch["problem_id"].to_pylist(), batch["prompt_ids"].to_pylist(), strict=True
        )
    }
