"""Which checkpoints a training keeps: the newest that the manifest names, and the one before it.

A checkpoint counts once the manifest on disk has its hashes and its steps; older ones are deleted
after that. So whatever is killed, the manifest names a checkpoint that is there.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder

#: How many checkpoints are kept.
_KEPT = 2


def checkpoint(trainer: str, step: int) -> str:
    """Name a checkpoint's folder, below the run folder.

    Example:
        >>> checkpoint("native", 4), checkpoint("trl", 4)
        ('checkpoints/step-4', 'checkpoints/checkpoint-4')
    """
    return f"checkpoints/{'step' if trainer == 'native' else 'checkpoint'}-{step}"


def saved_steps(folder: RunFolder) -> list[int]:
    """Count the steps that were done at each checkpoint, as the manifest has them."""
    record = folder.manifest.stages.get("steps")
    ends, done = [], 0
    for _, shard in sorted(record.shards.items()) if record else ():
        done += shard.rows
        ends.append(done)
    return ends


def add_checkpoint(
    folder: RunFolder, trainer: str, step: int, rollouts: pa.Table, steps: pa.Table
) -> None:
    """Enter a checkpoint that is on disk, with the rows since the one before; then delete old ones.

    Args:
        folder: The training.
        trainer: native or trl.
        step: How many steps are done.
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
    """Delete all checkpoints but the last that the manifest names."""
    kept = {checkpoint(trainer, step) for step in saved_steps(folder)[-_KEPT:]}
    there = (folder.path / "checkpoints").glob("*")
    gone = sorted({f"checkpoints/{path.name}" for path in there} - kept)
    if gone:
        folder.discard_cached(*gone)


def verify_training(folder: RunFolder, trainer: str) -> int:
    """Count the steps to go on from, and see that their checkpoint and their tables are whole.

    Raises:
        LearnAlignError: if one is damaged; it says how the training goes on without it.
    """
    ends = saved_steps(folder)
    if not ends:
        return 0
    name = checkpoint(trainer, ends[-1])
    before = _before(folder, trainer)
    do = f"train anew: the same command with --redo {folder.redo_name('history')}"
    if before is not None:
        where = f"the one before it, after step {before}" if before else "the beginning"
        do = f"go on from {where}: the same command with --redo {folder.below}checkpoint"
    if not folder.recorded(name):
        raise LearnAlignError(
            f"cannot go on from {folder.path / name}: the manifest has no hashes of it",
            expected="a checkpoint that was written whole",
            do=do,
        )
    folder.verify(name, do=do)
    verify_tables(folder)
    return ends[-1]


def verify_tables(folder: RunFolder) -> None:
    """See that the tables are whole: better now than after the last step, or in the next stage.

    Raises:
        LearnAlignError: if a shard is not the one that was written.
    """
    for stage in ("history", "steps"):
        for _ in folder.shards(stage):
            pass


def drop_checkpoint(folder: RunFolder, trainer: str) -> None:
    """Throw away the newest checkpoint, with the rows since the one before.

    Raises:
        LearnAlignError: if there is none, or the one before is not kept.
    """
    before, ends = _before(folder, trainer), saved_steps(folder)
    if before is None or folder.manifest.stages["steps"].complete:
        raise LearnAlignError(
            f"got --redo {folder.below}checkpoint, but {folder.path} keeps no checkpoint "
            "before the newest",
            expected="a training under way, with a checkpoint to go back to",
            do=f"train anew with --redo {folder.redo_name('history')}",
        )
    last = len(ends) - 1
    gone = [checkpoint(trainer, ends[last])]
    gone += [folder.manifest.stages[stage].shards.pop(last).file for stage in ("history", "steps")]
    folder.discard_cached(*gone)


def _before(folder: RunFolder, trainer: str) -> int | None:
    """Count the steps of the checkpoint before the newest; None if it is not kept."""
    ends = saved_steps(folder)
    if not ends:
        return None
    before = ends[-2] if len(ends) > 1 else 0
    return before if not before or folder.recorded(checkpoint(trainer, before)) else None
