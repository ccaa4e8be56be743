"""The format of a file of rollouts by its first row, of which usually one line is read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.rollouts.imports.format import Format
from learnalign.rollouts.imports.registry import format_of


def format_at_first(path: Path) -> Format | None:
    """Return the format of a file's first row; None if it cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "1.json"
        >>> _ = path.write_text('{"trajectories": [], "is_correct": true}')
        >>> format_at_first(path).name
        'rllm'
    """
    try:
        row = _first_row(path)
    except (OSError, EOFError, ValueError, RecursionError, pa.ArrowException):
        return None  # reading it says what is wrong
    return format_of(row) if isinstance(row, dict) else None


def _first_row(path: Path) -> Any:
    with path.open("rb") as file:
        if path.suffix == ".parquet":
            return dict.fromkeys(pq.read_schema(file).names)
        text: Any = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        line = next((line for line in text if line.strip()), b"")
        if ".json" not in path.suffixes:
            return json.loads(line)
        tree = json.loads(line + text.read())
    return tree[0] if isinstance(tree, list) and tree else tree
