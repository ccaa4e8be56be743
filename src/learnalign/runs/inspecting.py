"""Everything a run knows of one problem."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign import files
from learnalign.errors import LearnAlignError, nearest
from learnalign.runs.folder import STAGES, RunFolder


def inspect(path: Path, problem_id: str) -> dict[str, Any]:
    """Collect everything a run knows of one problem.

    Returns:
        ``problem`` (a row of PROBLEMS or None), ``rollouts`` (rows of ROLLOUTS with their
        verdicts), ``gradient`` (its row without the sketches, or None), ``scores`` (or None) and
        ``excluded`` (rows).

    Raises:
        LearnAlignError: for an id that the run does not know; the nearest are named.
    """
    folder = RunFolder.existing(path)
    wanted = pa.array([problem_id])
    names: set[str] = set()
    found: dict[str, list[dict[str, Any]]] = {}
    for stage in STAGES:
        found[stage] = []
        for shard in folder.shards(stage) if stage in folder.manifest.stages else ():
            kept = [n for n in shard.column_names if "sketch" not in n]
            names.update(shard["problem_id"].to_pylist())
            rows = shard.select(kept).filter(pc.is_in(shard["problem_id"], wanted))
            found[stage] += rows.to_pylist()
    gone = [row for row in folder.excluded().to_pylist() if row["problem_id"] == problem_id]
    if not any(found.values()) and not gone:
        raise LearnAlignError(
            f"got the problem '{problem_id}'", expected=nearest(problem_id, names), do="correct it"
        )
    verdicts = {row["sample"]: row for row in found["verdicts"]}
    scores: list[dict[str, Any]] = []
    if files.is_file(folder.path / "scores.parquet"):
        table = folder.scores()
        scores = table.filter(pc.is_in(table["problem_id"], wanted)).to_pylist()
    nothing = dict.fromkeys(("verdict", "reward", "parsed_answer", "detail"))
    return {
        "problem": next(iter(found["problems"]), None),
        "rollouts": [
            {**nothing, **row, **verdicts.get(row["sample"], {})} for row in found["rollouts"]
        ],
        "gradient": next(iter(found["gradients"]), None),
        "scores": next(iter(scores), None),
        "excluded": gone,
    }
