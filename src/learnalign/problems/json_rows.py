"""Rows from JSON text in any common layout, independent of the file's suffix."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.splits import chosen_split, split_of

Row = dict[str, Any]
_LINES = (".jsonl", ".ndjson")
#: Keys of chat messages: a list of such objects is a prompt, not a list of rows.
_MESSAGE_KEYS = ("role", "from")


@dataclass(frozen=True)
class JsonRows:
    """The rows of a JSON file."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    """How they were read, if that is not obvious."""
    texts: Sequence[str] | None = None
    """The rows as they are written, if each is a line."""


def json_rows(text: str, path: Path, *, suffix: str, split: str) -> JsonRows:
    """Read rows from JSON.

    Supported layouts: one object per line; objects over several lines; a list of objects in the
    whole file or on each line; an object with one such list, or one per split; columns as lists or
    as objects (pandas); the rows of the hub's viewer.

    Args:
        text: The file's text.
        path: The file, for messages.
        suffix: ``.jsonl`` or ``.json``; in ``.jsonl`` an object is always a row.
        split: The list to read from an object of splits.

    Raises:
        LearnAlignError: for invalid JSON (names the line), and if the layout is ambiguous.
    """
    if not text.strip():
        return JsonRows([])
    lines = _lines(text, path)
    if lines is not None:
        notes = ["JSON Lines"] if suffix not in _LINES else []
        rows = [
            row for number, _, value in lines for row in _of_line(value, f"{path}, line {number}")
        ]
        own = all(isinstance(value, dict) for _, _, value in lines)
        return _unwrapped(rows, path, notes, [line for _, line, _ in lines] if own else None)
    values = _documents(text, path, suffix)
    if len(values) > 1 or (suffix in _LINES and isinstance(values[0], dict)):
        rows = [row for i, value in enumerate(values, 1) for row in _of_line(value, f"{path}, {i}")]
        whole = text.strip()
        notes = ["objects over several lines"] if "\n" in whole else []
        return _unwrapped(rows, path, notes, None if notes or len(values) > 1 else [whole])
    rows, notes = _of_tree(values[0], path, split)
    if suffix in _LINES:
        notes = ["one JSON list", *notes]
    return _unwrapped(rows, path, notes)


def _lines(text: str, path: Path) -> list[tuple[int, str, Any]] | None:
    """Parse line by line, if there are several lines and the first is valid JSON."""
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2:
        return None
    try:
        json.loads(lines[0][1])
    except (ValueError, RecursionError):
        return None
    values = []
    for number, line in lines:
        try:
            values.append((number, line.strip(), json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise _broken(f"{path}, line {number}", error) from error
    return values


def _documents(text: str, path: Path, suffix: str) -> list[Any]:
    """Parse consecutive JSON values; usually there is one."""
    decoder, position = json.JSONDecoder(), 0
    values: list[Any] = []
    text = text.strip()
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", position)) + 1
            others = text.split("\n")[1:2]
            if suffix in _LINES and not values and others and others[0].lstrip()[:1] == "{":
                line = 1  # lines of objects with a broken first one
            raise _broken(f"{path}, line {line}", error) from error
        values.append(value)
        position = end
        while position < len(text) and text[position].isspace():
            position += 1
    return values


def _of_line(value: object, location: str) -> list[Row]:
    """Return the rows of a line: an object, or a list of objects."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value
    raise LearnAlignError(
        f"{location}: got a {type(value).__name__}",
        expected="a JSON object, or a list of them",
        do="fix the row",
    )


def _of_tree(tree: object, path: Path, split: str) -> tuple[list[Row], list[str]]:
    """Return the rows of a whole file's value."""
    rows: list[Row] | None
    if isinstance(tree, list):
        rows = [row for n, value in enumerate(tree, 1) for row in _entry(value, path, n)]
        return rows, []
    if not isinstance(tree, dict):
        raise LearnAlignError(
            f"{path} contains a {type(tree).__name__}",
            expected="a list of JSON objects, or an object with one such list",
            do="keep only that list in the file",
        )
    if _is_rows(tree.get("rows")) and all("row_idx" in row for row in tree["rows"]):
        return tree["rows"], ["rows of the hub's viewer"]
    if all(value in ([], {}) for value in tree.values()):
        return [], []  # an empty object, list or table
    lists = {k: v for k, v in tree.items() if _is_rows(v) or (v == [] and split_of(k))}
    if lists and all(split_of(key) for key in lists):
        name = chosen_split(split, lists, str(path))
        return lists[name], [f"split {name} of {', '.join(lists)}"]
    if len(lists) > 1:
        raise LearnAlignError(
            f"{path} contains several lists of objects: {', '.join(lists)}",
            expected="one list, or lists named after splits (train, test)",
            do="keep only the list you mean",
        )
    if lists:
        (key,) = lists
        return lists[key], [f"the list '{key}'"]
    for form, read in _FORMS.items():
        rows = read(tree)
        if rows is not None:
            return rows, [form]
    lengths = {key: len(value) for key, value in tree.items() if isinstance(value, list)}
    if len(lengths) == len(tree) > 1:
        raise LearnAlignError(
            f"{path} contains columns as lists of different lengths: "
            + ", ".join(f"{key} {length}" for key, length in lengths.items()),
            expected="the same number of values in each, or a list of JSON objects",
            do="fix the file",
        )
    if all(isinstance(value, dict) for value in tree.values()):
        raise LearnAlignError(
            f"{path} contains an object of objects",
            expected="a list of JSON objects",
            do="write its rows as a list (pandas: orient='records')",
        )
    return [tree], ["one row"]


def _entry(value: object, path: Path, number: int) -> list[Row]:
    if not isinstance(value, dict):
        raise LearnAlignError(
            f"{path}, entry {number}: got a {type(value).__name__}",
            expected="a JSON object",
            do="fix the row",
        )
    return [value]


def _is_rows(value: object) -> bool:
    """Return whether a value is a list of rows rather than of chat messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, dict) for row in value)
        and not all(any(key in row for key in _MESSAGE_KEYS) for row in value)
    )


def _as_split(tree: Row) -> list[Row] | None:
    """Read pandas' ``orient="split"``: column names, and one list of values per row."""
    names, data = tree.get("columns"), tree.get("data")
    if not isinstance(names, list) or not isinstance(data, list):
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _as_lists(tree: Row) -> list[Row] | None:
    """Read columns that are lists of equal length."""
    columns = list(tree.values())
    if len(columns) < 2 or not all(isinstance(column, list) for column in columns):
        return None
    if len({len(column) for column in columns}) != 1:
        return None
    return [dict(zip(tree, row, strict=True)) for row in zip(*columns, strict=True)]


def _as_objects(tree: Row) -> list[Row] | None:
    """Read columns or rows that are objects keyed by row number."""
    values = list(tree.values())
    if not values or not all(isinstance(value, dict) and value for value in values):
        return None
    keys = list(values[0])
    if all(str(key).isdigit() for key in tree):
        return values
    if all(list(value) == keys for value in values) and all(key.isdigit() for key in keys):
        return [{name: column[key] for name, column in tree.items()} for key in keys]
    return None


_FORMS: dict[str, Callable[[Row], list[Row] | None]] = {
    "columns and data": _as_split,
    "columns as lists": _as_lists,
    "rows by number": _as_objects,
}


def _unwrapped(
    rows: list[Row], path: Path, notes: list[str], texts: list[str] | None = None
) -> JsonRows:
    """Extract the rows of the hub's viewer, which truncates long cells, if they are."""
    if not rows or not all(isinstance(row.get("row"), dict) and "row_idx" in row for row in rows):
        return JsonRows(rows, notes, texts)
    for row in rows:
        if row.get("truncated_cells"):
            raise LearnAlignError(
                f"{path}, row {row['row_idx']}: the viewer truncated {row['truncated_cells']}",
                expected="complete cells",
                do="download the data set's own files",
            )
    return JsonRows([row["row"] for row in rows], notes)


def _broken(location: str, error: Exception) -> LearnAlignError:
    why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    if isinstance(error, json.JSONDecodeError):
        why = f"{error.msg}, column {error.colno}"
    return LearnAlignError(
        f"{location}: broken JSON ({why})",
        expected="one JSON object per line, or a list of objects",
        do="fix or remove the line",
    )
