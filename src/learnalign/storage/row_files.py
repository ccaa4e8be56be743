"""Write rows to a file in the format of its suffix."""

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
#: Bytes read from the start of a JSON file to find the columns of its first row.
_HEAD = 65_536


def checked(out: Path, inputs: Sequence[str], schema: pa.Schema) -> bool:
    """Reject an output file that must not be written; return whether it overwrites one of ours.

    Args:
        out: The file.
        inputs: The input files, which are never overwritten.
        schema: The columns of the rows; an existing file with these columns is ours.

    Raises:
        LearnAlignError: for an unknown suffix, a folder, an input, or an existing file with other
            contents.
    """
    if out.suffix not in _SUFFIXES:
        raise LearnAlignError(
            f"got --out {out}", expected=f"a file ({', '.join(_SUFFIXES)})", do="correct --out"
        )
    if not is_remote(out) and out.is_dir():
        raise LearnAlignError(f"got --out {out}, a folder", expected="a file", do="add a file name")
    if not files.is_file(out):
        return False
    if any(_same(out, name) for name in inputs):
        raise LearnAlignError(
            f"got --out {out}, which is an input", expected="another file", do="correct --out"
        )
    if not set(schema.names) <= set(_columns(out)):
        raise LearnAlignError(
            f"{out} exists and has no verdicts from LearnAlign",
            expected="a new file, or an existing file of verdicts",
            do="choose another file with --out, or move this one",
        )
    return True


def write_rows(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, *, suffix: str) -> None:
    """Write rows as JSON Lines, as one JSON list, or as Parquet.

    Args:
        path: The file.
        rows: Rows with the columns of ``schema``.
        schema: The columns.
        suffix: Suffix of the file's name, which determines the format.
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
    other = as_path(name)
    if is_remote(out) or is_remote(other):
        return str(out) == str(other)
    return other.exists() and out.samefile(other)


def _columns(path: Path) -> list[str]:
    """List the columns of a file's first row; empty if the file cannot be read."""
    try:
        if path.suffix == ".parquet":
            return list(files.read_table(path).column_names)
        with path.open(encoding="utf-8") as file:
            head = file.read(_HEAD).lstrip().removeprefix("[").lstrip()
        row, _ = json.JSONDecoder().raw_decode(head)
    except (OSError, ValueError):
        return []
    return list(row) if isinstance(row, dict) else []
