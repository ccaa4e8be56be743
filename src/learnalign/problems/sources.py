"""Reading a source of rows: a file, files, a folder, a hub name, a reasoning-gym spec or pool."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from learnalign.errors import LearnAlignError
from learnalign.problems.csv_rows import csv_rows
from learnalign.problems.decoding import COMPRESSIONS, read_text, uncompressed_name
from learnalign.problems.folders import DATA_SUFFIXES, choose_files
from learnalign.problems.gym import gym_rows, is_gym_spec, pool_rows
from learnalign.problems.json_rows import json_rows
from learnalign.problems.patterns import base_of, is_pattern, matching
from learnalign.problems.splits import chosen_split
from learnalign.storage import files
from learnalign.storage.paths import as_path, store_errors

Row = dict[str, Any]
_SUFFIXES = (
    ".json, .jsonl, .csv, .tsv (each also with "
    + ", ".join(COMPRESSIONS)
    + "), .parquet, .yaml (a reasoning-gym pool)"
)


class NoRowsError(LearnAlignError):
    """A source can be read, but has no rows."""


@dataclass(frozen=True)
class Source:
    """The rows of one DATA argument."""

    name: str
    rows: list[Row]
    original: pa.Table | None = None
    """The rows with their Arrow types, if the source has them (Parquet, datasets)."""
    _: KW_ONLY
    texts: Sequence[str] | None = None
    """The rows as they are written, if each is a line of JSON."""
    notes: tuple[str, ...] = ()
    """How it was read, if that is not obvious: layout, encoding, split."""
    files: tuple["Source", ...] = ()
    """Its files with rows, if it has several files."""

    def by_columns(self) -> list["Source"]:
        """Split it into files of equal columns, in the order in which these first occur."""
        groups: dict[frozenset[str], list[Source]] = {}
        for part in self.files:
            columns = frozenset(name for row in part.rows for name in row)
            groups.setdefault(columns, []).append(part)
        return [_joined(self.name, parts, self.notes) for parts in groups.values()] or [self]


def read_source(spec: str, *, split: str = "train", limit: int | None = None) -> Source:
    """Read a source of any type.

    Args:
        spec: Path of a file or folder (``folder:configuration``), pattern of files (``a/*.jsonl``,
            ``a/**/*.parquet``), hub name, or ``reasoning-gym:NAME?size=100&seed=1``.
        split: Split of a hub data set, a folder or a JSON file with several splits.
        limit: Maximum number of rows to read.

    Raises:
        NoRowsError: if it has no rows.
        LearnAlignError: if it is missing, of an unknown type, or broken (names the line).

    Example:
        >>> read_source("reasoning-gym:chain_sum?size=2&seed=1").rows[1]["answer"]
        '6'
    """
    source = _read(spec, split)
    if limit is not None and source.files:
        source = replace(source, files=tuple(_first(source.files, limit)))
    rows = source.rows if limit is None else source.rows[:limit]
    if not rows:
        raise NoRowsError(
            "; ".join([f"{spec} has no rows", *source.notes]),
            expected="at least one problem",
            do="check the path",
        )
    return replace(source, rows=rows)


def _read(spec: str, split: str) -> Source:
    if is_gym_spec(spec):
        return Source(spec.partition(":")[2].partition("?")[0], gym_rows(spec))
    path = as_path(spec)
    if is_pattern(spec) and not files.is_file(path):
        return _from_pattern(spec, split)
    with store_errors(path):
        folder = path.is_dir()
    if folder:
        return _from_folder(path, split)
    if files.is_file(path):
        return _from_file(path, split)
    parent, _, configuration = spec.rpartition(":")
    if parent and "://" not in spec and Path(parent).is_dir():
        return _from_folder(Path(parent), split, configuration)
    if path.suffix or spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise LearnAlignError(
            f"found no file or folder {spec}",
            expected=f"a path ({_SUFFIXES}), a hub name (owner/name) or reasoning-gym:NAME",
            do="check the path",
        )
    return _from_hub(spec, split)


def _from_file(path: Path, split: str) -> Source:
    name = uncompressed_name(path)
    stem, suffix = name.rsplit(".", 1)[0], Path(name).suffix.lower()
    if suffix not in (*DATA_SUFFIXES, ".yaml", ".yml"):
        raise LearnAlignError(
            f"got {path}, a file of unknown type", expected=_SUFFIXES, do="convert or rename it"
        )
    if files.size(path) == 0:
        return Source(stem, [])
    if suffix == ".parquet":
        table = _parquet(path)
        return Source(stem, table.to_pylist(), table)
    text, notes = read_text(path)
    if suffix in (".yaml", ".yml"):
        return Source(stem, _pool(text, path))
    if suffix in (".csv", ".tsv"):
        rows, form = csv_rows(text, path, suffix=suffix)
        return Source(stem, rows, notes=(*form, *notes))
    read = json_rows(text, path, suffix=suffix, split=split)
    return Source(stem, read.rows, texts=read.texts, notes=(*read.notes, *notes))


def _pool(text: str, path: Path) -> list[Row]:
    try:
        return pool_rows(yaml.safe_load(text), str(path))
    except yaml.YAMLError as error:
        raise LearnAlignError(f"{path} is broken YAML: {error}", do="fix the file") from error


def _parquet(path: Path) -> pa.Table:
    try:
        return files.read_table(path)
    except (pa.ArrowException, OSError) as error:
        head = path.read_bytes()[:40]
        pointer = head.startswith(b"version https://git-lfs")
        raise LearnAlignError(
            f"{path} is not a Parquet file"
            + (" but a Git LFS pointer" if pointer else f": {str(error).splitlines()[0]}"),
            expected="a complete Parquet file",
            do="git lfs pull" if pointer else "copy it again",
        ) from error


def _from_folder(path: Path, split: str, configuration: str | None = None) -> Source:
    """Read the output of ``save_to_disk``, or the data files of any other folder."""
    if configuration is None and any(
        files.is_file(path / name) for name in ("state.json", "dataset_dict.json")
    ):
        datasets = _datasets(str(path))
        try:
            return _from_dataset(path.name, datasets.load_from_disk(str(path)), split)
        except (LearnAlignError, MemoryError):
            raise
        except Exception as error:  # a damaged folder may raise anything
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise LearnAlignError(
                f"{path} is not a complete folder of datasets' save_to_disk: "
                f"{type(error).__name__}: {reason}",
                expected="all files that save_to_disk wrote",
                do="copy it again, or save it again",
            ) from error
    chosen = choose_files(path, split, configuration)
    parts = [_from_file(file, split) for file in chosen.paths]
    return _joined(path.name, parts, tuple(chosen.notes))


def _from_pattern(spec: str, split: str) -> Source:
    """Read the files that a pattern matches, in the order of their paths."""
    found, ignored = matching(spec)
    if not found:
        raise LearnAlignError(
            f"found no data file that matches {spec}",
            expected=f"files of {_SUFFIXES}",
            do="check the pattern; ** stands for any folders",
        )
    name = base_of(spec)[0].resolve().name or "data"
    note = f"{len(found)} file" + "s" * (len(found) > 1)
    return _joined(name, [_from_file(path, split) for path in found], (note, *ignored))


def _joined(name: str, parts: Sequence[Source], notes: Sequence[str]) -> Source:
    """Append the rows of files.

    Their types are kept if all files with rows have the same, and their text if all have one.
    """
    blank = sum(not part.rows for part in parts)
    notes = [*notes, *([f"{blank} of {len(parts)} files have no rows"] if blank else [])]
    parts = [part for part in parts if part.rows]
    tables = [part.original for part in parts if part.original is not None]
    same = len(tables) == len(parts) and all(t.schema == tables[0].schema for t in tables)
    rows = [row for part in parts for row in part.rows]
    unique = dict.fromkeys([*notes, *(note for part in parts for note in part.notes)])
    original = pa.concat_tables(tables) if tables and same else None
    texts = [text for part in parts for text in part.texts or ()]
    written = texts if len(texts) == len(rows) else None
    return Source(name, rows, original, texts=written, notes=tuple(unique), files=tuple(parts))


def _first(parts: Sequence[Source], limit: int) -> Iterator[Source]:
    """Yield files up to a number of rows."""
    for part in parts:
        if limit > 0:
            yield replace(part, rows=part.rows[:limit])
        limit -= len(part.rows)


def _from_hub(name: str, split: str) -> Source:
    """Load a data set from the hub, without running its code."""
    datasets = _datasets(name)
    repo, _, subset = name.partition(":")
    try:
        dataset = datasets.load_dataset(repo, subset or None)
    except Exception as error:  # the network, the hub and the loaders raise different types
        raise LearnAlignError(
            f"cannot load '{name}' from the hub: {str(error).splitlines()[0]}",
            expected="a path that exists, or the name of an accessible data set (owner/name)",
            do="check the spelling and the network",
        ) from error
    return _from_dataset(repo, dataset, split)


def _from_dataset(name: str, dataset: Any, split: str) -> Source:
    notes: tuple[str, ...] = ()
    if isinstance(dataset, dict):
        chosen = chosen_split(split, dataset, name)
        notes = (f"split {chosen} of {', '.join(dataset)}",)
        dataset = dataset[chosen]
    table = dataset.with_format("arrow")[:]
    return Source(name, table.to_pylist(), table, notes=notes)


def _datasets(name: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise LearnAlignError(
            f"reading '{name}' needs the package datasets",
            do="pip install 'learnalign[datasets]'",
        ) from error
    return datasets
