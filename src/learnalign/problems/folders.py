"""Choosing the data files of a folder by split and configuration."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from learnalign.errors import LearnAlignError
from learnalign.problems.decoding import uncompressed_name
from learnalign.problems.ignored import ignored_note, ignored_part, is_ignored
from learnalign.problems.splits import chosen_split, file_split, split_of
from learnalign.storage import files

#: Suffixes of files with rows.
DATA_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".csv", ".tsv")
#: Metadata files written by the hub and ``datasets``.
_METADATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"}


@dataclass(frozen=True)
class Chosen:
    """The files of a folder to read."""

    paths: list[Path]
    notes: list[str]


def choose_files(folder: Path, split: str, configuration: str | None = None) -> Chosen:
    """Choose the data files of a folder: a clone of a hub data set, or any other layout.

    Files and folders named after a split belong to that split; without such names, all files form
    one pool. Every other folder is a configuration. The ``configs`` of a ``README.md`` take
    precedence over names. Hidden and temporary files are not read, and a note counts them.

    Raises:
        LearnAlignError: without data files, or without files of the split; and if the folder has
            several configurations and none was named (``folder:name``).
    """
    declared = _declared(folder)
    if declared:
        name = _one_of(folder, list(declared), configuration)
        return _with_ignored(_of_split(folder, declared[name], split), folder)
    if configuration is not None:
        subfolder = folder / configuration
        if not subfolder.is_dir():
            raise _no_configuration(folder, configuration, [])
        folder = subfolder
    # A symbolic link may point to a parent folder.
    seen: set[Path] = set()
    splits: dict[Path, str | None] = {p: file_split(p.name) for p in _data_files(folder, seen)}
    other = []
    for inner in _folders(folder):
        paths = _data_files(inner, seen, deep=True)
        if split_of(inner.name) is not None:
            splits |= dict.fromkeys(paths, split_of(inner.name))
        elif inner.name == "data":
            splits |= {path: split_of(path.parent.name) or file_split(path.name) for path in paths}
        elif paths:
            other.append(inner)
    if not splits and other:
        name = _one_of(folder, [inner.name for inner in other], None)
        return choose_files(folder / name, split)
    chosen = _of_split(folder, splits, split)
    unread = [f"{inner.name}/" for inner in other]
    notes = chosen.notes + ([f"not read: {', '.join(unread)}"] * bool(unread))
    return _with_ignored(Chosen(chosen.paths, notes), folder)


def _with_ignored(chosen: Chosen, folder: Path) -> Chosen:
    """Add the note on ignored files in the folders of the chosen ones."""
    folders = {folder, *(path.parent for path in chosen.paths)}
    found = (path for inner in folders for path in inner.iterdir())
    return Chosen(chosen.paths, chosen.notes + ignored_note(found, folder))


def _of_split(folder: Path, splits: dict[Path, str | None], wanted: str) -> Chosen:
    if not splits:
        raise LearnAlignError(
            f"the folder {folder} contains no data files",
            expected="files such as train.jsonl or train.parquet: " + ", ".join(DATA_SUFFIXES),
            do="check the path",
        )
    names = list(dict.fromkeys(split for split in splits.values() if split is not None))
    if not names:
        paths = sorted(splits)
        return Chosen(paths, [f"{len(paths)} files"] if len(paths) > 1 else [])
    name = chosen_split(wanted, names, str(folder))
    paths = sorted(path for path, split in splits.items() if split == name)
    unread = sorted(str(path.relative_to(folder)) for path in splits if path not in paths)
    shown = ", ".join(unread[:5]) + (f" and {len(unread) - 5} more" if len(unread) > 5 else "")
    several = f" ({len(paths)} files)" if len(paths) > 1 else ""
    return Chosen(paths, [f"split {name}{several}", *([f"not read: {shown}"] if unread else [])])


def _one_of(folder: Path, names: list[str], wanted: str | None) -> str:
    """Choose a configuration: the requested one, the only one, or the one named default."""
    if wanted is not None and wanted not in names:
        raise _no_configuration(folder, wanted, names)
    if wanted is None and len(names) > 1 and "default" not in names:
        raise LearnAlignError(
            f"the folder {folder} has several configurations: {', '.join(names)}",
            expected="one of them",
            do=f"name one, for example {folder}:{names[0]}",
        )
    return wanted or ("default" if "default" in names else names[0])


def _no_configuration(folder: Path, name: str, names: list[str]) -> LearnAlignError:
    return LearnAlignError(
        f"the folder {folder} has no configuration '{name}'",
        expected="one of " + ", ".join(names) if names else "a folder in it",
        do="correct the name after the colon",
    )


def _declared(folder: Path) -> dict[str, dict[Path, str | None]]:
    """Read the files that a data set's ``README.md`` declares, by configuration."""
    if not files.is_file(folder / "README.md"):
        return {}
    text = files.read_bytes(folder / "README.md").decode("utf-8", "replace")
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        tree = yaml.safe_load(head.group(1)) if head else None
    except yaml.YAMLError:
        return {}  # not metadata; use the files' names
    configs = tree.get("configs") if isinstance(tree, dict) else None
    declared: dict[str, dict[Path, str | None]] = {}
    for config in configs if isinstance(configs, list) else []:
        if not isinstance(config, dict) or "data_files" not in config:
            continue
        splits: dict[Path, str | None] = {}
        for split, patterns in _patterns(config["data_files"]):
            for pattern in patterns:
                if not pattern or ".." in Path(pattern).parts or Path(pattern).is_absolute():
                    continue
                found = (p for p in folder.glob(pattern) if ignored_part(p, folder) is None)
                paths = [p for p in found if is_data_file(p)]
                splits |= dict.fromkeys(paths, split_of(split) or split)
        if splits:
            declared[str(config.get("config_name", "default"))] = splits
    return declared


def _patterns(declared: Any) -> list[tuple[str, list[str]]]:
    """Convert any form of ``data_files`` to (split, patterns) pairs."""

    def listed(value: Any) -> list[str]:
        return [str(v) for v in value] if isinstance(value, list) else [str(value)]

    if isinstance(declared, dict):
        return [(str(split), listed(value)) for split, value in declared.items()]
    if isinstance(declared, list) and all(isinstance(d, dict) and "path" in d for d in declared):
        return [(str(d.get("split", "train")), listed(d["path"])) for d in declared]
    return [("train", listed(declared))]


def _data_files(folder: Path, seen: set[Path], *, deep: bool = False) -> list[Path]:
    if folder.resolve() in seen:
        return []
    seen.add(folder.resolve())
    paths = [path for path in folder.iterdir() if is_data_file(path)]
    if deep:
        paths += [
            path for inner in _folders(folder) for path in _data_files(inner, seen, deep=True)
        ]
    return sorted(paths)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_ignored(p.name))


def is_data_file(path: Path) -> bool:
    """Return whether a file may have rows, by its name."""
    if is_ignored(path.name) or path.name in _METADATA:
        return False
    return Path(uncompressed_name(path)).suffix.lower() in DATA_SUFFIXES and path.is_file()
