"""What a file's first row says of it: its format, and whether it has rollouts at all."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.problems.columns import COMPLETIONS
from learnalign.rollouts.imports.format import Format
from learnalign.rollouts.imports.formats import plain
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
    row = _first_row(path)
    return format_of(row) if isinstance(row, dict) else None


def may_have_rollouts(path: Path) -> bool:
    """Return whether a file may have rollouts: it has one at the beginning, or cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "meta.json"
        >>> _ = path.write_text('{"learning_rate": 1e-6, "files": ["1.jsonl"]}')
        >>> may_have_rollouts(path)
        False
        >>> _ = path.write_text('{"version": 1, "rollouts": [{"id": "a", "response": "4"}]}')
        >>> may_have_rollouts(path)
        True
    """
    return _is_rollout(_first_row(path))


def _is_rollout(tree: Any) -> bool:
    """Return whether a row, or the first row of a list in it, is a rollout; True for no object."""
    if not isinstance(tree, dict) or not tree:
        return True
    known = format_of(tree) is not plain.FORMAT or any(
        n in tree for n in (*COMPLETIONS, "token_ids")
    )
    rows = [v[0] for v in tree.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return known or any(_is_rollout(row.get("row", row)) for row in rows)


def _first_row(path: Path) -> Any:
    """Return a file's first row, or the object that it is; None if it cannot be read."""
    try:
        return _read_first(path)
    except (OSError, EOFError, ValueError, RecursionError, pa.ArrowException):
        return None  # reading it says what is wrong


def _read_first(path: Path) -> Any:
    with path.open("rb") as file:
        if path.suffix == ".parquet":
            return dict.fromkeys(pq.read_schema(file).names)
        text: Any = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        line = next((line for line in text if line.strip()), b"")
        if ".csv" in path.suffixes:
            return {name.strip(' "\n\r'): None for name in re.split("[,;\t]", line.decode())}
        if ".json" not in path.suffixes:
            return json.loads(line)
        tree = json.loads(line + text.read())
    return tree[0] if isinstance(tree, list) and tree else tree
