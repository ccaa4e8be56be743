"""Reading one source of rows: a file, a folder, a hub name, a reasoning-gym spec or pool."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from learnalign import files
from learnalign.errors import LearnAlignError
from learnalign.places import place, reached
from learnalign.problems.gym import gym_rows, is_gym_spec, pool_rows

Row = dict[str, Any]
_SUFFIXES = ".json, .jsonl, .jsonl.gz, .parquet, .csv, .yaml (a reasoning-gym pool)"


@dataclass(frozen=True)
class Source:
    """The rows of one DATA argument."""

    name: str
    rows: list[Row]
    original: pa.Table | None = None
    """The rows with their Arrow types, where the source has them (Parquet, datasets)."""


def read_source(spec: str, *, split: str = "train", limit: int | None = None) -> Source:
    """Read a source, whatever it is.

    Args:
        spec: Path of a file or folder, hub name, or ``reasoning-gym:NAME?size=100&seed=1``.
        split: Of a hub data set or a folder of several splits.
        limit: Read only the first rows.

    Raises:
        LearnAlignError: if it is missing, empty, of an unknown kind, or broken (with the line).

    Example:
        >>> read_source("reasoning-gym:chain_sum?size=2&seed=1").rows[1]["answer"]
        '6'
    """
    source = _read(spec, split)
    rows = source.rows if limit is None else source.rows[:limit]
    if not rows:
        raise LearnAlignError(
            f"{spec} holds no rows", expected="at least one problem", do="fill it"
        )
    return Source(source.name, rows, source.original)


def _read(spec: str, split: str) -> Source:
    if is_gym_spec(spec):
        return Source(spec.partition(":")[2].partition("?")[0], gym_rows(spec))
    path = place(spec)
    with reached(path):
        folder = path.is_dir()
    if folder:
        return _from_folder(path, split)
    if files.is_file(path):
        return _from_file(path)
    if path.suffix or spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise LearnAlignError(
            f"got no file or folder {spec}",
            expected=f"a path ({_SUFFIXES}), a hub name (owner/name) or reasoning-gym:NAME",
            do="check the path",
        )
    return _from_hub(spec, split)


def _from_file(path: Path) -> Source:
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix == ".parquet":
        table = _parquet(path)
        return Source(stem, table.to_pylist(), table)
    readers: dict[str, Callable[[str, Path], list[Row]]] = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json,
        ".csv": _csv,
        ".yaml": _pool,
        ".yml": _pool,
    }
    if suffix not in readers:
        raise LearnAlignError(
            f"got {path}, a file of unknown kind", expected=_SUFFIXES, do="convert or rename it"
        )
    return Source(stem, readers[suffix](_text(path), path))


def _text(path: Path) -> str:
    data = files.read_bytes(path)
    try:
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise LearnAlignError(f"{path} is broken gzip: {error}", do="copy it anew") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LearnAlignError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is no UTF-8",
            expected="text encoded in UTF-8",
            do=f"convert it: iconv -f LATIN1 -t UTF-8 {path} > converted{path.suffix}",
        ) from error


def _json_lines(text: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise LearnAlignError(
                f"{path}, line {number}: broken JSON ({error.msg}, column {error.colno})",
                expected="one JSON object a line",
                do="mend or remove the line",
            ) from error
        rows.append(_object(row, f"{path}, line {number}"))
    return rows


def _json(text: str, path: Path) -> list[Row]:
    if not text.strip():
        return []
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise LearnAlignError(
            f"{path}, line {error.lineno}: broken JSON ({error.msg}, column {error.colno})",
            expected="a list of JSON objects (JSON Lines has the suffix .jsonl)",
            do="mend the file or rename it",
        ) from error
    if isinstance(tree, dict):
        lists = [value for value in tree.values() if isinstance(value, list)]
        tree = lists[0] if len(lists) == 1 else tree
    if not isinstance(tree, list):
        raise LearnAlignError(
            f"{path} holds a {type(tree).__name__}",
            expected="a list of JSON objects, or an object with one such list",
            do="give the list alone",
        )
    return [_object(row, f"{path}, entry {number}") for number, row in enumerate(tree, 1)]


def _object(row: object, place: str) -> Row:
    if not isinstance(row, dict):
        raise LearnAlignError(
            f"{place}: got a {type(row).__name__}", expected="a JSON object", do="mend the row"
        )
    return row


def _csv(text: str, path: Path) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise csv.Error(f"not the {len(reader.fieldnames or ())} fields of the first line")
            rows.append(row)
    except csv.Error as error:
        raise LearnAlignError(
            f"{path}, line {reader.line_num}: {error}",
            expected="comma-separated values with a first line of column names",
            do="mend the line (quote fields that hold commas)",
        ) from error
    return rows


def _pool(text: str, path: Path) -> list[Row]:
    try:
        return pool_rows(yaml.safe_load(text), str(path))
    except yaml.YAMLError as error:
        raise LearnAlignError(f"{path} is broken YAML: {error}", do="mend the file") from error


def _parquet(path: Path) -> pa.Table:
    try:
        return files.read_table(path)
    except (pa.ArrowException, OSError) as error:
        head = path.read_bytes()[:40]
        pointer = head.startswith(b"version https://git-lfs")
        raise LearnAlignError(
            f"{path} is no Parquet file"
            + (" but a git-lfs pointer" if pointer else f": {str(error).splitlines()[0]}"),
            expected="a whole Parquet file",
            do="git lfs pull" if pointer else "copy it anew",
        ) from error


def _from_folder(path: Path, split: str) -> Source:
    """Read what ``save_to_disk`` wrote, or the files of a plain folder one after the other."""
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        datasets = _datasets(str(path))
        return _from_dataset(path.name, datasets.load_from_disk(str(path)), split)
    found = sorted(
        p for p in path.iterdir() if p.suffix in {".json", ".jsonl", ".parquet", ".csv", ".gz"}
    )
    if not found:
        raise LearnAlignError(
            f"the folder {path} holds no data", expected=f"files ({_SUFFIXES})", do="check the path"
        )
    parts = [_from_file(file) for file in found]
    tables = [part.original for part in parts if part.original is not None]
    same = len(tables) == len(parts) and all(t.schema == tables[0].schema for t in tables)
    rows = [row for part in parts for row in part.rows]
    return Source(path.name, rows, pa.concat_tables(tables) if same else None)


def _from_hub(name: str, split: str) -> Source:
    """Load a data set of the hub; code that comes with a data set is never run."""
    datasets = _datasets(name)
    repo, _, subset = name.partition(":")
    try:
        found = datasets.load_dataset(repo, subset or None)
    except Exception as error:  # the network, the hub and the loaders each have their own
        raise LearnAlignError(
            f"cannot load '{name}' from the hub: {str(error).splitlines()[0]}",
            expected="a path that exists, or the name of a data set in reach (owner/name)",
            do="check the spelling and the network",
        ) from error
    return _from_dataset(repo, found, split)


def _from_dataset(name: str, found: Any, split: str) -> Source:
    if isinstance(found, dict):
        if split not in found:
            raise LearnAlignError(
                f"'{name}' has no split '{split}'",
                expected="one of " + ", ".join(found),
                do="name it with --split",
            )
        found = found[split]
    table = found.with_format("arrow")[:]
    return Source(name, table.to_pylist(), table)


def _datasets(wanted: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise LearnAlignError(
            f"reading '{wanted}' needs the package datasets",
            do="pip install 'learnalign[datasets]'",
        ) from error
    return datasets
