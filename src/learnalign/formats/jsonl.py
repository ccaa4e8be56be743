"""The JSON Lines formats: the user's rows with our columns, and TRL's format."""

import json
from collections.abc import Sequence
from typing import Any

from learnalign.formats.gold import gold_columns, solutions_stay
from learnalign.formats.rows import (
    Block,
    Notes,
    check_prompts,
    is_messages,
    plain,
    require_no_agent,
)
from learnalign.tables import SCORED_PROMPT


def jsonl_lines(parts: Sequence[Block], notes: Notes, *, trl: bool) -> list[str]:
    """Format every row as a line of JSON, in the order of the file.

    A row that was read from JSON keeps its text; our columns are inserted before its last brace.

    Args:
        parts: The rows by source.
        notes: Receives the warnings and hints.
        trl: Add TRL's columns `prompt` and `solution`, and the scored prompt, which TRL passes to
            reward functions.

    Returns:
        (n,) lines without line breaks.
    """
    lines = [""] * sum(len(part.positions) for part in parts)
    lossy: set[str] = set()
    texts: set[bool] = set()
    stay = trl and solutions_stay(parts)
    for part in parts:
        rows = part.dicts()
        ours = part.ours.to_pylist()
        if trl:
            prompts = part.problems["prompt"].to_pylist()
            ours = [{**mine, SCORED_PROMPT: text} for mine, text in zip(ours, prompts, strict=True)]
        added = _trl_columns(part, rows, notes, stay) if trl else [{} for _ in rows]
        source_texts = part.problems["row"].to_pylist()
        for i, row in enumerate(rows):
            extra = {**added[i], **without_clashes(ours[i], row, notes)}
            if trl:
                texts.add(isinstance({**row, **extra}["prompt"], str))
            text = source_texts[i] if part.typed is None else None
            lines[int(part.positions[i])] = line(row, extra, text, lossy)
    if lossy:
        notes.warn(lossy_warning(lossy))
    if len(texts) > 1:
        notes.warn(
            "`prompt` is text in some rows and chat messages in others, which TRL cannot load from "
            "one file: export the sources separately"
        )
    return lines


def lossy_warning(columns: set[str]) -> str:
    """Return the warning that JSON changed the types of some columns."""
    return (
        f"JSON has no type for some values of {_listed(columns)} (dates and similar became "
        "text, NaN became null): --as parquet keeps them"
    )


def line(row: dict[str, Any], extra: dict[str, Any], text: str | None, lossy: set[str]) -> str:
    """Format a row with added columns as a line of JSON.

    Args:
        row: The user's row.
        extra: Columns to add or replace.
        text: The row as it was read, which is kept where that is possible; None if it was not JSON.
        lossy: Receives the columns whose values JSON has no type for.
    """
    ours = {name: plain(value, name, set()) for name, value in extra.items()}
    if text is None or not _is_strict(text):
        mine = {name: plain(value, name, lossy) for name, value in row.items()}
        return json.dumps({**mine, **ours}, ensure_ascii=False, allow_nan=False)
    if "\n" in text or "\r" in text or not row or not ours or ours.keys() & row.keys():
        return json.dumps({**row, **ours}, ensure_ascii=False)
    return text.rstrip()[:-1].rstrip() + ", " + json.dumps(ours, ensure_ascii=False)[1:]


def _is_strict(text: str) -> bool:
    """Return whether a row's text is JSON without NaN and Infinity, which only Python reads."""
    if "NaN" not in text and "Infinity" not in text:
        return True
    constants: list[str] = []
    json.loads(text, parse_constant=constants.append)
    return not constants


def without_clashes(ours: dict[str, Any], row: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return our columns without those that the row has, with a warning."""
    clashes = ours.keys() & row.keys()
    if clashes:
        notes.warn(clash(clashes))
    return {name: value for name, value in ours.items() if name not in clashes}


def clash(names: set[str]) -> str:
    """Return the warning that the user's columns have the names of ours.

    Example:
        >>> clash({"learnalign_rank"})
        'your rows already have the column learnalign_rank: yours was kept, ours was omitted'
    """
    columns = "the column" if len(names) == 1 else "the columns"
    return f"your rows already have {columns} {_listed(names)}: yours was kept, ours was omitted"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _trl_columns(
    part: Block, rows: list[dict[str, Any]], notes: Notes, stay: bool
) -> list[dict[str, Any]]:
    scored = part.scored_messages is not None
    column = part.problems["messages"] if part.scored_messages is None else part.scored_messages
    messages = column.to_pylist()
    answers = part.problems["answer"].to_pylist()
    added: list[dict[str, Any]] = []
    names = part.problems["problem_id"].to_pylist()
    for name, row, chat, answer in zip(names, rows, messages, answers, strict=True):
        require_no_agent("TRL", row, name)
        extra: dict[str, Any] = {}
        if scored and row.get("prompt") is not None:
            extra["prompt"] = chat
            notes.hint("`prompt` is the scored chat messages, replacing your own")
        elif row.get("prompt") is None:
            extra["prompt"] = chat
            notes.hint("`prompt` was added: the scored chat messages")
        elif not (isinstance(row["prompt"], str) or is_messages(row["prompt"])):
            notes.warn("your `prompt` is neither text nor chat messages: TRL cannot read it")
        if row.get("solution") is None or (part.overwrite_gold and not stay):
            extra |= gold_columns(row, answer, notes)
        added.append(extra)
    if not scored:
        prompts = [{**row, **extra}["prompt"] for row, extra in zip(rows, added, strict=True)]
        check_prompts(prompts, part.problems, notes)
    return added
