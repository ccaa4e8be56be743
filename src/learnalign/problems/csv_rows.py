"""Rows from CSV and TSV files, separated by commas, semicolons or tabs."""

import csv
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: Number of lines used to detect the separator.
_INSPECTED_LINES = 50
_LONGEST_FIELD = 2**31 - 1


def csv_rows(text: str, path: Path, *, suffix: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the rows of a CSV or TSV file; its first line is the header.

    Returns:
        The rows, with text values; and a note if the separator is not a comma.

    Raises:
        LearnAlignError: names a line whose number of fields differs from the header's.
    """
    with _fields_of_any_length():
        separator = "\t" if suffix == ".tsv" else _separator(text)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        rows: list[dict[str, Any]] = []
        try:
            names = reader.fieldnames or ()
            if len(set(names)) < len(names):
                raise csv.Error("two columns have the same name")
            for row in reader:
                if None in row or None in row.values():
                    raise csv.Error(f"expected {len(names)} fields, as in the first line")
                rows.append(row)
        except csv.Error as error:
            raise LearnAlignError(
                f"{path}, line {reader.line_num}: {error}",
                expected=f"values separated by {_NAMES[separator]}, with column names in the first "
                "line",
                do="fix the line (quote fields that contain the separator)",
            ) from error
    return rows, [] if separator == "," else [f"separated by {_NAMES[separator]}"]


def _separator(text: str) -> str:
    """Detect the separator: the one that splits the first lines into equally many fields.

    If none does, it is the only separator in the first line; the error then names the line that
    does not fit.
    """
    for separator in _NAMES:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        try:
            lines = [line for line in itertools.islice(reader, _INSPECTED_LINES) if line]
        except csv.Error:
            continue
        if lines and len(lines[0]) > 1 and len({len(line) for line in lines}) == 1:
            return separator
    names = text.lstrip("\n").partition("\n")[0]
    candidates = [separator for separator in _NAMES if separator in names]
    return candidates[0] if len(candidates) == 1 else ","


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
