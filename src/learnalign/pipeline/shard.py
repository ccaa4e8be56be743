"""One shard of a stage's table: made, timed and written, on whatever machine."""

import time
from typing import Any

from learnalign.pipeline import stages
from learnalign.pipeline.resources import Resources
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import Shard
from learnalign.terminal.progress import Advance


def make_shard(
    folder: RunFolder, stage: str, index: int, resources: Resources, given: Any, advance: Advance
) -> Shard:
    """Make one shard and write its file; it counts once the manifest names it."""
    begin = time.monotonic()
    made = stages.BY_NAME[stage].make(folder, index, resources, given, advance)
    excluded = None
    if made.reasons:
        pool = folder.read_shard("problems", index)
        excluded = stages.excluded_table(pool, stage, made.reasons)
    return folder.put_shard(
        stage,
        index,
        made.table,
        seconds=time.monotonic() - begin,
        tokens=made.tokens,
        counts=made.counts,
        excluded=excluded,
    )
