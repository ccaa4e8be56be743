"""The JSON Lines formats: rows with our columns, and TRL's."""

import json
from collections.abc import Sequence
from typing import Any

from learnalign.formats.gold import gold_columns, solutions_stay
from learnalign.formats.rows import Block, Notes, check_prompts, is_messages, plain
from learnalign.tables import SCORED_PROMPT


def jsonl_lines(parts: Sequence[Block], notes: Notes, *, trl: bool) -> list[str]:
    """Write every row as a line of JSON, in the order of the file.

    A row that came as JSON keeps its own text, ours is put before its last brace.

    Args:
        parts: The rows by source.
        notes: Gets the warnings and hints.
        trl: Add the `prompt` and `solution` columns of TRL, and the prompt that was scored, which
            its reward functions are handed.

    Returns:
        (n,) lines without a line break.
    """
    lines = [""] * sum(len(part.places) for part in parts)
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
            extra = {**added[i], **_without_clashes(ours[i], row, notes)}
            if trl:
                texts.add(isinstance({**row, **extra}["prompt"], str))
            text = source_texts[i] if part.typed is None else None
            lines[int(part.places[i])] = _line(row, extra, text, lossy)
    if lossy:
        notes.warn(
            f"JSON has no type for some values of {_listed(lossy)} (dates and the like became "
            "text, NaN became null): --as parquet keeps them"
        )
    if len(texts) > 1:
        notes.warn(
            "`prompt` is text in some rows and chat messages in others, which TRL cannot load in "
            "one file: export the sources separately"
        )
    return lines


def _line(row: dict[str, Any], extra: dict[str, Any], text: str | None, lossy: set[str]) -> str:
    ours = {name: plain(value, name, set()) for name, value in extra.items()}
    if text is None or "NaN" in text or "Infinity" in text:  # Python's words, not JSON's
        mine = {name: plain(value, name, lossy) for name, value in row.items()}
        return json.dumps({**mine, **ours}, ensure_ascii=False, allow_nan=False)
    if len(text.splitlines()) > 1 or not row or not ours or ours.keys() & row.keys():
        return json.dumps({**row, **ours})
    return text.rstrip()[:-1].rstrip() + ", " + json.dumps(ours, ensure_ascii=False)[1:]


def _without_clashes(ours: dict[str, Any], row: dict[str, Any], notes: Notes) -> dict[str, Any]:
    clashes = ours.keys() & row.keys()
    if clashes:
        notes.warn(clash(clashes))
    return {name: value for name, value in ours.items() if name not in clashes}


def clash(names: set[str]) -> str:
    """Say that the user's own columns stand where ours would.

    Example:
        >>> clash({"learnalign_rank"})
        'your rows have the column learnalign_rank already: yours was kept, ours left out'
    """
    have = "the column" if len(names) == 1 else "the columns"
    return f"your rows have {have} {_listed(names)} already: yours was kept, ours left out"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _trl_columns(
    part: Block, rows: list[dict[str, Any]], notes: Notes, stay: bool
) -> list[dict[str, Any]]:
    scored = part.asked is not None
    messages = (part.problems["messages"] if part.asked is None else part.asked).to_pylist()
    answers = part.problems["answer"].to_pylist()
    added: list[dict[str, Any]] = []
    for row, chat, answer in zip(rows, messages, answers, strict=True):
        extra: dict[str, Any] = {}
        if scored and row.get("prompt") is not None:
            extra["prompt"] = chat
            notes.hint("`prompt` is the chat messages that were scored, replacing your own")
        elif row.get("prompt") is None:
            extra["prompt"] = chat
            notes.hint("`prompt` was added: the chat messages that were scored")
        elif not (isinstance(row["prompt"], str) or is_messages(row["prompt"])):
            notes.warn("your `prompt` is neither text nor chat messages: TRL cannot read it")
        if row.get("solution") is None or (part.golden and not stay):
            extra |= gold_columns(row, answer, notes)
        added.append(extra)
    if not scored:
        prompts = [{**row, **extra}["prompt"] for row, extra in zip(rows, added, strict=True)]
        check_prompts(prompts, part.problems, notes)
    return added
