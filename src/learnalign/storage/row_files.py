"""Rows written to a file of the user's choice, in the format that its name says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.errors import LearnAlignError
from learnalign.storage import files
from learnalign.storage.paths import as_path, is_remote

_SUFFIXES = (".jsonl", ".json", ".parquet")
#: Bytes of a JSON file's beginning in which its first row names its columns.
_HEAD = 65_536


def checked(out: Path, inputs: Sequence[str], schema: pa.Schema) -> bool:
    """Refuse a file that must not be written; say whether one of ours gives way.

    Args:
        out: The file.
        inputs: What the user reads, which is never written over.
        schema: Of the rows: a file with these columns is ours.

    Raises:
        LearnAlignError: for an unknown suffix, a folder, an input, or a file of another kind.
    """
    if out.suffix not in _SUFFIXES:
        raise LearnAlignError(
            f"got --out {out}", expected=f"a file ({', '.join(_SUFFIXES)})", do="correct --out"
        )
    if not is_remote(out) and out.is_dir():
        raise LearnAlignError(
            f"got --out {out}, a folder", expected="a file", do="name a file in it"
        )
    if not files.is_file(out):
        return False
    if any(_same(out, name) for name in inputs):
        raise LearnAlignError(
            f"got --out {out}, which is what is read", expected="another file", do="correct --out"
        )
    if not set(schema.names) <= set(_columns(out)):
        raise LearnAlignError(
            f"{out} is there, and holds no verdicts of ours",
            expected="a new file, or an earlier one of verdicts",
            do="name another file with --out, or move this one away",
        )
    return True


def write_rows(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, *, suffix: str) -> None:
    """Write rows as JSON Lines, as one JSON list, or as Parquet.

    Args:
        path: Where to.
        rows: Of ``schema``.
        schema: The columns.
        suffix: Of the file's name; says the format.
    """
    if suffix == ".parquet":
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, path, compression="zstd")
        return
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if suffix == ".jsonl":
            file.writelines(f"{line}\n" for line in lines)
            return
        for number, line in enumerate(lines):
            file.write(("[\n" if number == 0 else ",\n") + line)
        file.write("\n]\n" if rows else "[]\n")


def _same(out: Path, name: str) -> bool:
    read = as_path(name)
    if is_remote(out) or is_remote(read):
        return str(out) == str(read)
    return read.exists() and out.samefile(read)


def _columns(path: Path) -> list[str]:
    """Name the columns of a file's first row; none where it cannot be read."""
    try:
        if path.suffix == ".parquet":
            return list(files.read_table(path).column_names)
        with path.open(encoding="utf-8") as file:
            head = file.read(_HEAD).lstrip().removeprefix("[").lstrip()
        row, _ = json.JSONDecoder().raw_decode(head)
    except (OSError, ValueError):
        return []
    return list(row) if isinstance(row, dict) else []
