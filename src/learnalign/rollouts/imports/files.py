"""Which files of a path have rollouts: those of a folder, without what only accompanies them."""

import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from learnalign.errors import LearnAlignError
from learnalign.problems.ignored import ignored_part
from learnalign.problems.patterns import base_of, files_within, is_pattern
from learnalign.rollouts.imports.peeking import format_at_first
from learnalign.rollouts.imports.registry import FORMATS, PICKLED
from learnalign.storage import files
from learnalign.storage.paths import as_path, store_errors

_SUFFIXES = {".jsonl", ".ndjson", ".json", ".parquet", ".csv"}
_PICKLES = {".pt", ".pth", ".pkl", ".pickle"}


def rollout_files(given: str | Path) -> tuple[list[Path], Counter[str]]:
    """List the files of a folder of dumps, or of a pattern of files or folders, steps in order.

    A file is its own list. Left out are a trainer's files about a run, where the folder has
    rollouts of that trainer; files that repeat others, hidden and temporary ones, and the rollouts
    of validation problems. All are read if they are named themselves, validation also by its
    folder.

    Returns:
        The files, and counts for warnings: ``pickle_files`` and ``validation_files``.

    Raises:
        LearnAlignError: for a pickle, and for a folder or a pattern without other files of
            rollouts.
    """
    path, counts = as_path(given), Counter[str]()
    with store_errors(path):
        if path.is_dir():
            found = (file for file in path.rglob("*") if ignored_part(file, path) is None)
            inside = sorted((file for file in found if file.is_file()), key=_in_order)
        elif path.suffix in _PICKLES:
            raise _pickled(str(path))
        elif is_pattern(str(given)) and not path.is_file():
            inside = sorted(files_within(str(given)), key=_in_order)
            path, _ = base_of(str(given))
        else:
            return [path], counts
    pickles = [file for file in inside if file.suffix in _PICKLES]
    formats = list(FORMATS.values())
    validation = [pattern for one in formats for pattern in one.validation]
    kept = []
    inside = [file for file in inside if _SUFFIXES & set(file.suffixes)]
    for file in _without_side_files(inside, path):
        if any(one.repeats(file) for one in formats):
            continue
        if _is_any(f"/{file.relative_to(path).as_posix()}", validation):
            counts["validation_files"] += 1
        else:
            kept.append(file)
    if not kept and pickles:
        names = ", ".join(file.name for file in pickles[:3])
        place = f"the folder {path}" if path == as_path(given) else str(given)
        raise _pickled(f"{place} has no rollouts but {names}: each")
    if not kept:
        raise LearnAlignError(
            (
                f"the folder {path} contains no rollouts"
                if path == as_path(given)
                else f"no file of rollouts matches {given}"
            )
            + (" but those of validation problems" if counts["validation_files"] else ""),
            expected=f"files of rollouts ({', '.join(sorted(_SUFFIXES))})",
            do="correct the path, or name the files themselves",
        )
    counts["pickle_files"] += len(pickles)
    return kept, counts


def _without_side_files(inside: list[Path], folder: Path) -> list[Path]:
    """Leave out the side files of the formats that the folder's other files have.

    A name such as ``results.json`` means something to one trainer only: elsewhere it is data.
    """
    names = {file: f"/{file.relative_to(folder).as_posix()}" for file in inside}
    about = {
        file: [one for one in FORMATS.values() if _is_any(name, one.side_files)]
        for file, name in names.items()
    }
    wanted = {one.name for formats in about.values() for one in formats}
    found: set[str] = set()
    for file in (file for file in inside if not about[file]):
        if wanted <= found:
            break
        first = format_at_first(file)
        found |= set() if first is None else {first.name}
    return [file for file in inside if not any(one.name in found for one in about[file])]


def without_copies(paths: Iterable[Path]) -> list[Path]:
    """Leave out files that were named before, or have the same bytes as one before."""
    kept: list[Path] = []
    seen: set[Path] = set()
    by_size: dict[int | None, list[Path]] = {}
    for path in paths:
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        size = files.size(path)
        others = [] if size is None else by_size.setdefault(size, [])
        if not any(files.sha256(path) == files.sha256(other) for other in others):
            others.append(path)
            kept.append(path)
    return kept


def _in_order(file: Path) -> list[str | int]:
    """Sort numbers in names as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(file))]


def _is_any(relative: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(relative, pattern) for pattern in patterns)


def _pickled(subject: str) -> LearnAlignError:
    return LearnAlignError(
        f"{subject} is a pickle, and loading a pickle can run arbitrary code",
        expected="JSON Lines or Parquet with completions",
        do=f"configure the trainer to write its rollouts in one of these formats ({PICKLED} only "
        "write pickles: convert them where they were written)",
    )
