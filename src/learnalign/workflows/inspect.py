"""Everything a run stores about one problem."""

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
    """Collect everything a run stores about one problem.

    Args:
        path: The run folder.
        problem_id: The id, or its escaped form as a terminal shows it
            (`learnalign.terminal.control_characters`).

    Returns:
        ``problem`` (a row of PROBLEMS or None), ``rollouts`` (rows of ROLLOUTS with their
        verdicts), ``gradient`` (its row without the sketches, or None), ``scores`` (or None) and
        ``excluded`` (rows).

    Raises:
        LearnAlignError: for an unknown id; the message names the nearest ones.
    """
    folder = RunFolder.existing(path)
    names = _names(folder)
    shown = visible(problem_id, multiline=False)
    if problem_id not in names:
        matches = [name for name in names if visible(name, multiline=False) == shown]
        if len(matches) != 1:
            raise LearnAlignError(
                f"got the problem '{shown}'",
                expected=nearest(shown, names),
                do="correct it",
            )
        (problem_id,) = matches
    wanted = pa.array([problem_id])
    rows: dict[str, list[dict[str, Any]]] = {}
    for stage in STAGES:
        rows[stage] = []
        for shard in folder.shards(stage) if stage in folder.manifest.stages else ():
            columns = [n for n in shard.column_names if "sketch" not in n]
            matching = shard.select(columns).filter(pc.is_in(shard["problem_id"], wanted))
            rows[stage] += matching.to_pylist()
    excluded = [row for row in folder.excluded().to_pylist() if row["problem_id"] == problem_id]
    verdicts = {row["sample"]: row for row in rows["verdicts"]}
    scores: list[dict[str, Any]] = []
    if files.is_file(folder.path / "scores.parquet"):
        table = folder.scores()
        scores = table.filter(pc.is_in(table["problem_id"], wanted)).to_pylist()
    no_verdict = dict.fromkeys(name for name in VERDICTS.names if name not in ROLLOUTS.names)
    return {
        "problem": next(iter(rows["problems"]), None),
        "rollouts": [
            {**no_verdict, **row, **verdicts.get(row["sample"], {})} for row in rows["rollouts"]
        ],
        "gradient": next(iter(rows["gradients"]), None),
        "scores": next(iter(scores), None),
        "excluded": excluded,
    }


def _names(folder: RunFolder) -> set[str]:
    """Return the ids of all problems, including excluded ones."""
    names = set(folder.excluded()["problem_id"].to_pylist())
    for shard in folder.shards("problems"):
        names.update(shard["problem_id"].to_pylist())
    return names
