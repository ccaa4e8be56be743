"""Everything a run knows of one problem."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError, nearest
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import STAGES
from learnalign.storage import files
from learnalign.tables import ROLLOUTS, VERDICTS
from learnalign.terminal.control_characters import visible


def inspect(path: Path, problem_id: str) -> dict[str, Any]:
    """Collect everything a run knows of one problem.

    Args:
        path: The run folder.
        problem_id: The problem's, or what a terminal shows of it
            (`learnalign.terminal.control_characters`).

    Returns:
        ``problem`` (a row of PROBLEMS or None), ``rollouts`` (rows of ROLLOUTS with their
        verdicts), ``gradient`` (its row without the sketches, or None), ``scores`` (or None) and
        ``excluded`` (rows).

    Raises:
        LearnAlignError: for an id that the run does not know; the nearest are named.
    """
    folder = RunFolder.existing(path)
    names = _names(folder)
    shown = visible(problem_id, multiline=False)
    if problem_id not in names:
        meant = [name for name in names if visible(name, multiline=False) == shown]
        if len(meant) != 1:
            raise LearnAlignError(
                f"got the problem '{shown}'",
                expected=nearest(shown, names),
                do="correct it",
            )
        (problem_id,) = meant
    wanted = pa.array([problem_id])
    found: dict[str, list[dict[str, Any]]] = {}
    for stage in STAGES:
        found[stage] = []
        for shard in folder.shards(stage) if stage in folder.manifest.stages else ():
            kept = [n for n in shard.column_names if "sketch" not in n]
            rows = shard.select(kept).filter(pc.is_in(shard["problem_id"], wanted))
            found[stage] += rows.to_pylist()
    gone = [row for row in folder.excluded().to_pylist() if row["problem_id"] == problem_id]
    verdicts = {row["sample"]: row for row in found["verdicts"]}
    scores: list[dict[str, Any]] = []
    if files.is_file(folder.path / "scores.parquet"):
        table = folder.scores()
        scores = table.filter(pc.is_in(table["problem_id"], wanted)).to_pylist()
    nothing = dict.fromkeys(name for name in VERDICTS.names if name not in ROLLOUTS.names)
    return {
        "problem": next(iter(found["problems"]), None),
        "rollouts": [
            {**nothing, **row, **verdicts.get(row["sample"], {})} for row in found["rollouts"]
        ],
        "gradient": next(iter(found["gradients"]), None),
        "scores": next(iter(scores), None),
        "excluded": gone,
    }


def _names(folder: RunFolder) -> set[str]:
    """Give the ids of all problems, those that were left out too."""
    names = set(folder.excluded()["problem_id"].to_pylist())
    for shard in folder.shards("problems"):
        names.update(shard["problem_id"].to_pylist())
    return names
