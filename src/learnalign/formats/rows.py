"""The user's rows for a list of problem ids, with our columns added."""

import base64
import datetime
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.problems.agents import agent_column
from learnalign.problems.chats import read_prompt

PREFIX = "learnalign_"

#: Columns of SCORES that are exported, each with the prefix.
OURS = ("problem_id", "rank", "score", "learnability", "alignment", "success_rate")

_NEEDED = [
    *("problem_id", "position", "source_index", "source_row", "source"),
    *("messages", "answer", "row", "prompt"),
]

Sources = Callable[[int], pa.Table | None]

#: Maps a problem's messages and its row as JSON text to the scored messages.
AddInstructions = Callable[[list[dict[str, str]], str], list[dict[str, str]]]


@dataclass(frozen=True)
class Notes:
    """Warnings and hints for the user, each added once."""

    warnings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning, unless it was added before."""
        if text not in self.warnings:
            self.warnings.append(text)

    def hint(self, text: str) -> None:
        """Add a hint, unless it was added before."""
        if text not in self.hints:
            self.hints.append(text)


@dataclass(frozen=True)
class Block:
    """The rows of a file that come from one source."""

    positions: NDArray[np.int64]
    """Their row numbers in the file."""
    problems: pa.Table
    ours: pa.Table
    """Our columns, prefixed."""
    typed: pa.Table | None
    """The user's rows with their Arrow types; None if they are only available as JSON text."""
    overwrite_gold: bool = True
    """Whether trainers must compute rewards from the gold used for the selection."""

    def part(self, indices: Sequence[int]) -> "Block":
        """Keep some of the rows."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Block(
            positions=self.positions[chosen],
            problems=self.problems.take(chosen),
            ours=self.ours.take(chosen),
            typed=None if self.typed is None else self.typed.take(chosen),
            overwrite_gold=self.overwrite_gold,
        )

    @property
    def scored_messages(self) -> pa.ChunkedArray | None:
        """The scored messages, if they are exported; see `with_scored_messages`."""
        name = "scored_messages"
        return self.problems[name] if name in self.problems.column_names else None

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
    """Collect the rows of some problems from the shards of PROBLEMS.

    Raises:
        LearnAlignError: if a problem is missing.

    Example:
        >>> from learnalign.tables import PROBLEMS
        >>> rows = [{"problem_id": name, "row": "{}"} for name in "abc"]
        >>> shard = pa.Table.from_pylist(rows, schema=PROBLEMS)
        >>> gather([shard], ["c", "a"])["problem_id"].to_pylist()
        ['a', 'c']
    """
    wanted = pa.array(sorted(set(problem_ids)), pa.string())
    parts, missing = [], len(wanted)
    for shard in problems:
        part = shard.select(_NEEDED).filter(pc.is_in(shard["problem_id"], value_set=wanted))
        parts.append(part)
        missing -= part.num_rows
        if missing <= 0:
            break
    if missing:
        raise LearnAlignError(
            f"{missing} scored problems are not in the table of problems",
            expected="scores computed from these problems",
            do="run `learnalign select` again with the same --out",
        )
    return pa.concat_tables(parts)


def with_scored_messages(pool: pa.Table, add_instructions: AddInstructions) -> pa.Table:
    """Add the column ``scored_messages``: the messages with the run's instructions."""
    rows = zip(pool["messages"].to_pylist(), pool["row"].to_pylist(), strict=True)
    scored = [add_instructions(messages, row) for messages, row in rows]
    return pool.append_column("scored_messages", pa.array(scored, pool["messages"].type))


def blocks(
    pool: pa.Table,
    scores: pa.Table,
    problem_ids: Sequence[str],
    sources: Sources,
    *,
    overwrite_gold: bool = True,
) -> list[Block]:
    """Split the rows of a file by source.

    Args:
        pool: The result of `gather`.
        scores: SCORES.
        problem_ids: The problems in the order of the file.
        sources: Returns the user's table of a source, or None.
        overwrite_gold: See `Block`.

    Returns:
        One block per source; their ``positions`` together are 0..n-1.
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
        positions = np.flatnonzero(index == source).astype(np.int64)
        rows = problems.take(positions)
        typed = _typed(sources(source), rows["source_row"], rows["source"][0].as_py())
        result.append(Block(positions, rows, ours.take(positions), typed, overwrite_gold))
    return result


def _typed(table: pa.Table | None, rows: pa.ChunkedArray, name: str) -> pa.Table | None:
    if table is None:
        return None
    last = pc.max(rows).as_py()
    if last >= table.num_rows:
        raise LearnAlignError(
            f"the source '{name}' has {table.num_rows} rows, but its row {last} was selected",
            expected="the data unchanged since the problems were read",
            do="restore the old file, or select again",
        )
    return table.take(rows)


def plain(value: Any, column: str, lossy: set[str]) -> Any:
    """Convert a value to a JSON type; add ``column`` to ``lossy`` if that loses its type.

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


def require_no_agent(trainer: str, row: Mapping[str, Any], problem_id: str) -> None:
    """Check that a row in another format than the trainer's does not need tools or an agent.

    Raises:
        LearnAlignError: if it does: the trainer's rows cannot hold them.
    """
    column = agent_column(row)
    if column is not None:
        raise LearnAlignError(
            f"the row of the problem {problem_id} is for an agent (its column '{column}'), and is "
            f"not in {trainer}'s format",
            expected="rows for agents in the format in which they came: a converted row would lose "
            "its tools",
            do="use --as of the trainer that the rows are for, or --as jsonl or parquet, which "
            "keep rows whole",
        )


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
    """Warn if the prompts a trainer will read differ from the scored ones.

    Args:
        prompts: What the trainer reads: messages, to which it applies the chat template, or text
            that it uses as it is.
        problems: The rows' problems.
        notes: Receives the warning.
    """
    scored = zip(problems["messages"].to_pylist(), problems["prompt"].to_pylist(), strict=True)
    for own, (messages, text) in zip(prompts, scored, strict=True):
        if is_messages(own):
            same = messages is None or own == messages
            same = same or read_prompt(own, last="prefill").messages == messages
        else:
            same = text is None or own == text
        if not same:
            notes.warn(
                "some rows keep their own `prompt`, which is not what the model was scored on "
                "(a template, system prompt or instruction was added; text has no chat template, "
                "unless the trainer applies it): train with the same prompt, "
                "or use --prompts scored"
            )
            return
