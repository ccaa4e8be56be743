"""One shard of a stage's table: computed, timed and written, on whichever machine."""

import time
from typing import Any

import pyarrow as pa

from learnalign.pipeline.resources import Resources
from learnalign.pipeline.stage import Reasons, ShardTask
from learnalign.pipeline.stages import STAGES
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import Shard
from learnalign.tables import EXCLUDED
from learnalign.terminal.progress import Advance


def compute_shard(
    folder: RunFolder, stage: str, index: int, resources: Resources, plan: Any, advance: Advance
) -> Shard:
    """Compute one shard and write its file; it counts once the manifest names it."""
    begin = time.monotonic()
    run = STAGES[stage].run
    assert run is not None, f"{stage} is not computed shard by shard"
    output = run(ShardTask(folder, index, resources, plan, advance))
    excluded = None
    if output.reasons:
        excluded = _excluded(folder.read_shard("problems", index), stage, output.reasons)
    return folder.put_shard(
        stage,
        index,
        output.table,
        seconds=time.monotonic() - begin,
        tokens=output.tokens,
        counts=output.counts,
        excluded=excluded,
    )


def _excluded(pool: pa.Table, stage: str, reasons: Reasons) -> pa.Table:
    """Build the EXCLUDED table of the problems that leave the pool at a stage."""
    sources = {
        row["problem_id"]: row
        for row in pool.select(["problem_id", "source_index", "source_row"]).to_pylist()
    }
    rows = [
        sources[name] | {"stage": stage, "reason": reason, "detail": detail}
        for name, reason, detail in reasons
    ]
    return pa.Table.from_pylist(rows, schema=EXCLUDED)
