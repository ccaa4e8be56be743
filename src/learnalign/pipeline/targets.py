"""Resolve --target: the problems to align to, by a file of ids or a column and its value."""

import json
from pathlib import Path

from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.subsets import read_subset
from learnalign.runs.folder import RunFolder


def target_ids(target: str | None, folder: RunFolder) -> frozenset[str] | None:
    """Return the ids of the problems to align to.

    Args:
        target: None for the whole pool; a file with one problem_id a line; or ``column=value``,
            where the column is one of the user's rows, or ``source`` or ``difficulty``.
        folder: The run folder with the problems.

    Returns:
        The ids, or None for the whole pool.

    Raises:
        LearnAlignError: if there is no such file, column, or problem.
    """
    if target is None:
        return None
    path = Path(target)
    if path.is_file():
        return frozenset(read_subset(path).problem_ids)
    column, equals, wanted = target.partition("=")
    if not equals:
        raise LearnAlignError(
            f"got --target {target}",
            expected="a file of problem ids, or column=value",
            do="check the path",
        )
    matches: set[str] = set()
    columns: set[str] = set()
    for shard in folder.shards("problems"):
        for row in shard.select(["problem_id", "row", "source", "difficulty"]).to_pylist():
            values = {"source": row["source"], "difficulty": row["difficulty"]}
            values |= json.loads(row["row"])
            columns |= set(values)
            if str(values.get(column)) == wanted:
                matches.add(row["problem_id"])
    if not matches:
        known = f"a column of the rows: {nearest(column, columns)}"
        raise LearnAlignError(
            f"got --target {target}, which matches no problem",
            expected=known if column not in columns else f"a value of the column '{column}'",
            do="correct the pair",
        )
    return frozenset(matches)
