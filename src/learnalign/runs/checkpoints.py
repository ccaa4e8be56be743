"""Which checkpoints a training keeps: the newest one in the manifest and the one before it.

A checkpoint counts once the manifest on disk has its hashes and its steps. Older ones are deleted
only after that, so the manifest names an existing checkpoint even after a kill.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder

#: How many checkpoints are kept.
_KEPT = 2


def checkpoint(trainer: str, step: int) -> str:
    """Return a checkpoint's path relative to the run folder.

    Example:
        >>> checkpoint("native", 4), checkpoint("trl", 4)
        ('checkpoints/step-4', 'checkpoints/checkpoint-4')
    """
    return f"checkpoints/{'step' if trainer == 'native' else 'checkpoint'}-{step}"


def saved_steps(folder: RunFolder) -> list[int]:
    """Return the number of completed steps at each checkpoint in the manifest."""
    record = folder.manifest.stages.get("steps")
    ends, done = [], 0
    for _, shard in sorted(record.shards.items()) if record else ():
        done += shard.rows
        ends.append(done)
    return ends


def add_checkpoint(
    folder: RunFolder, trainer: str, step: int, rollouts: pa.Table, steps: pa.Table
) -> None:
    """Add a checkpoint on disk and the rows since the previous one, then delete old checkpoints.

    Args:
        folder: The training's folder.
        trainer: native or trl.
        step: Number of completed steps.
        rollouts: Rows of HISTORY.
        steps: Rows of STEPS.
    """
    folder.record(checkpoint(trainer, step))
    index = folder.num_shards("steps")
    seconds = sum(pc.sum(steps[name]).as_py() or 0.0 for name in ("sampling_s", "learning_s"))
    tokens = int(pc.sum(pc.list_value_length(rollouts["token_ids"])).as_py() or 0)
    tables: Mapping[str, tuple[pa.Table, int]] = {
        "history": (rollouts, tokens),
        "steps": (steps, 0),
    }
    folder.add_shards(
        index,
        {
            stage: folder.put_shard(stage, index, table, seconds=seconds, tokens=count)
            for stage, (table, count) in tables.items()
        },
    )
    keep_checkpoints(folder, trainer)


def keep_checkpoints(folder: RunFolder, trainer: str) -> None:
    """Delete all checkpoints except the newest ones in the manifest."""
    kept = {checkpoint(trainer, step) for step in saved_steps(folder)[-_KEPT:]}
    existing = (folder.path / "checkpoints").glob("*")
    outdated = sorted({f"checkpoints/{path.name}" for path in existing} - kept)
    if outdated:
        folder.delete(*outdated)


def verify_training(folder: RunFolder, trainer: str) -> int:
    """Check the newest checkpoint and the tables, and return the number of completed steps.

    Raises:
        LearnAlignError: if a file is damaged; says how to continue the training without it.
    """
    ends = saved_steps(folder)
    if not ends:
        return 0
    name = checkpoint(trainer, ends[-1])
    before = _previous(folder, trainer)
    do = f"train from the start: run the same command with --redo {folder.redo_name('history')}"
    if before is not None:
        origin = f"the previous checkpoint, after step {before}" if before else "the start"
        do = f"resume from {origin}: run the same command with --redo {folder.below}checkpoint"
    if not folder.recorded(name):
        raise LearnAlignError(
            f"cannot resume from {folder.path / name}: the manifest has no hashes of it",
            expected="a complete checkpoint",
            do=do,
        )
    folder.verify(name, do=do)
    verify_tables(folder)
    return ends[-1]


def verify_tables(folder: RunFolder) -> None:
    """Check the tables now, so that damage does not surface only after the last step.

    Raises:
        LearnAlignError: if a shard is damaged.
    """
    for stage in ("history", "steps"):
        for _ in folder.shards(stage):
            pass


def drop_checkpoint(folder: RunFolder, trainer: str) -> None:
    """Discard the newest checkpoint and the rows since the previous one.

    Raises:
        LearnAlignError: without a checkpoint, or if the previous one was not kept.
    """
    before, ends = _previous(folder, trainer), saved_steps(folder)
    if before is None or folder.manifest.stages["steps"].complete:
        raise LearnAlignError(
            f"got --redo {folder.below}checkpoint, but {folder.path} has no checkpoint "
            "before the newest",
            expected="an unfinished training with an earlier checkpoint",
            do=f"train from the start with --redo {folder.redo_name('history')}",
        )
    last = len(ends) - 1
    outdated = [checkpoint(trainer, ends[last])]
    shards = [folder.manifest.stages[stage].shards.pop(last) for stage in ("history", "steps")]
    outdated += [shard.file for shard in shards]
    folder.delete(*outdated)


def _previous(folder: RunFolder, trainer: str) -> int | None:
    """Return the step of the checkpoint before the newest; None if it was not kept."""
    ends = saved_steps(folder)
    if not ends:
        return None
    before = ends[-2] if len(ends) > 1 else 0
    return before if not before or folder.recorded(checkpoint(trainer, before)) else None
