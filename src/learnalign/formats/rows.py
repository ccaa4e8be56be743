"""The user's original rows for a list of problem ids, with our columns added."""

import base64
import datetime
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError

PREFIX = "learnalign_"

#: Columns of SCORES that go out, each with the prefix.
OURS = ("problem_id", "rank", "score", "learnability", "alignment", "success_rate")

_NEEDED = [
    *("problem_id", "position", "source_index", "source_row", "source"),
    *("messages", "answer", "row", "prompt"),
]

Sources = Callable[[int], pa.Table | None]

#: From a problem's messages and its row as JSON text to the messages that were scored.
Asked = Callable[[list[dict[str, str]], str], list[dict[str, str]]]


@dataclass(frozen=True)
class Notes:
    """Warnings and hints for the user, each added once."""

    warnings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning, unless it is there."""
        if text not in self.warnings:
            self.warnings.append(text)

    def hint(self, text: str) -> None:
        """Add a hint, unless it is there."""
        if text not in self.hints:
            self.hints.append(text)


@dataclass(frozen=True)
class Block:
    """The rows of one source that go into a file."""

    places: NDArray[np.int64]
    """Which rows of the file they become."""
    problems: pa.Table
    ours: pa.Table
    """Our columns, prefixed."""
    typed: pa.Table | None
    """The user's rows with their own types; None where there is only JSON text."""
    golden: bool = True
    """Whether the rows' rewards are to be read off the gold that was selected with."""

    def part(self, indices: Sequence[int]) -> "Block":
        """Keep some of the rows."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Block(
            places=self.places[chosen],
            problems=self.problems.take(chosen),
            ours=self.ours.take(chosen),
            typed=None if self.typed is None else self.typed.take(chosen),
            golden=self.golden,
        )

    @property
    def asked(self) -> pa.ChunkedArray | None:
        """The messages that were scored, if they are to go out; see `with_asked`."""
        return self.problems["asked"] if "asked" in self.problems.column_names else None

    def dicts(self) -> list[dict[str, Any]]:
        """Return the user's rows as Python values."""
        rows: list[dict[str, Any]]
        if self.typed is not None:
            rows = self.typed.to_pylist()
        else:
            rows = [json.loads(text) for text in self.problems["row"].to_pylist()]
        return rows

    def arrow(self) -> pa.Table:
        """Return the user's rows as a table; types are inferred if they came as JSON."""
        if self.typed is not None:
            return self.typed
        rows = self.dicts()
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def gather(problems: Iterable[pa.Table], problem_ids: Sequence[str]) -> pa.Table:
    """Read the rows of some problems out of the shards of PROBLEMS.

    Raises:
        LearnAlignError: if a problem is in no shard.

    Example:
        >>> from learnalign.tables import PROBLEMS
        >>> rows = [{"problem_id": name, "row": "{}"} for name in "abc"]
        >>> shard = pa.Table.from_pylist(rows, schema=PROBLEMS)
        >>> gather([shard], ["c", "a"])["problem_id"].to_pylist()
        ['a', 'c']
    """
    wanted = pa.array(sorted(set(problem_ids)), pa.string())
    found, missing = [], len(wanted)
    for shard in problems:
        part = shard.select(_NEEDED).filter(pc.is_in(shard["problem_id"], value_set=wanted))
        found.append(part)
        missing -= part.num_rows
        if missing <= 0:
            break
    if missing:
        raise LearnAlignError(
            f"{missing} scored problems are not in the table of problems",
            expected="scores computed from these problems",
            do="run `learnalign select` again with the same --out",
        )
    return pa.concat_tables(found)


def with_asked(pool: pa.Table, asked: Asked) -> pa.Table:
    """Put the column ``asked`` beside the problems: the messages with what the run added."""
    rows = zip(pool["messages"].to_pylist(), pool["row"].to_pylist(), strict=True)
    column = pa.array([asked(messages, row) for messages, row in rows], pool["messages"].type)
    return pool.append_column("asked", column)


def blocks(
    pool: pa.Table,
    scores: pa.Table,
    problem_ids: Sequence[str],
    sources: Sources,
    *,
    golden: bool = True,
) -> list[Block]:
    """Split the rows of a file by the source they came from.

    Args:
        pool: What `gather` gave.
        scores: SCORES.
        problem_ids: The problems in the order of the file.
        sources: The user's own table of a source, or None.
        golden: See `Block`.

    Returns:
        One block a source; their ``places`` together are 0..n-1.
    """
    names = pa.array(problem_ids, pa.string())
    problems = pool.take(pc.index_in(names, value_set=pool["problem_id"].combine_chunks()))
    ours = scores.select(OURS).take(
        pc.index_in(names, value_set=scores["problem_id"].combine_chunks())
    )
    ours = ours.rename_columns([PREFIX + name for name in OURS])
    index = problems["source_index"].to_numpy()
    result = []
    for source in np.unique(index).tolist():
        places = np.flatnonzero(index == source).astype(np.int64)
        rows = problems.take(places)
        typed = _typed(sources(source), rows["source_row"], rows["source"][0].as_py())
        result.append(Block(places, rows, ours.take(places), typed, golden))
    return result


def _typed(table: pa.Table | None, rows: pa.ChunkedArray, name: str) -> pa.Table | None:
    if table is None:
        return None
    last = pc.max(rows).as_py()
    if last >= table.num_rows:
        raise LearnAlignError(
            f"the source '{name}' has {table.num_rows} rows, but row {last} of it was selected",
            expected="the data unchanged since the problems were read",
            do="restore the old file, or select again",
        )
    return table.take(rows)


def plain(value: Any, column: str, lossy: set[str]) -> Any:
    """Turn a value into one JSON has; ``column`` joins ``lossy`` if that cost its type.

    Example:
        >>> lossy = set()
        >>> plain({"at": datetime.date(2026, 1, 2), "n": [1, None]}, "meta", lossy), lossy
        ({'at': '2026-01-02', 'n': [1, None]}, {'meta'})
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(part, column, lossy) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part, column, lossy) for part in value]
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return float(value)
    lossy.add(column)
    if isinstance(value, float | np.floating):
        return None
    if isinstance(value, tuple):  # an entry of a map
        return [plain(part, column, lossy) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def is_messages(value: object) -> bool:
    """Return whether a value is a list of chat messages.

    Example:
        >>> is_messages([{"role": "user", "content": "1 + 1?"}]), is_messages("1 + 1?")
        (True, False)
    """
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and {"role", "content"} <= part.keys() for part in value)
    )


def check_prompts(prompts: Iterable[Any], problems: pa.Table, notes: Notes) -> None:
    """Warn if the prompts a trainer will read are not those that were scored.

    A trainer puts the chat template on messages and takes text as it is.
    """
    scored = zip(problems["messages"].to_pylist(), problems["prompt"].to_pylist(), strict=True)
    for mine, (messages, text) in zip(prompts, scored, strict=True):
        if is_messages(mine):
            kept = [{key: part[key] for key in ("role", "content")} for part in mine]
            same = messages is None or kept == messages
        else:
            same = text is None or mine == text
        if not same:
            notes.warn(
                "some rows keep their own `prompt`, which is not what the model was scored on "
                "(a template, system prompt or instruction was added): train with the same prompt, "
                "or use --prompts scored"
            )
            return
