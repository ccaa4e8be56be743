"""Patterns of files, such as ``shards/part-*.jsonl``, in a local folder or an object store."""

from pathlib import Path

from learnalign.problems.folders import is_data_file
from learnalign.problems.ignored import ignored_note, ignored_part
from learnalign.storage.paths import as_path, store_errors


def is_pattern(spec: str) -> bool:
    """Return whether a spec has wildcards.

    Example:
        >>> is_pattern("data/part-*.jsonl"), is_pattern("data/part.jsonl")
        (True, False)
        >>> is_pattern("reasoning-gym:gcd?size=3")
        False
    """
    return not spec.startswith("reasoning-gym:") and any(sign in spec for sign in "*?[")


def base_of(pattern: str) -> tuple[Path, str]:
    """Split a pattern into the folder without wildcards, and the rest.

    Example:
        >>> base_of("/a/b/**/c*.jsonl")
        (PosixPath('/a/b'), '**/c*.jsonl')
        >>> base_of("c*.jsonl")
        (PosixPath('.'), 'c*.jsonl')
    """
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if is_pattern(part))
    folder = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else ".")
    return as_path(folder), "/".join(parts[first:])


def matching(pattern: str) -> tuple[list[Path], list[str]]:
    """Return the data files that match a pattern, in the order of their paths.

    Returns:
        The files, and a note that counts the hidden and temporary ones, which are not among them.
    """
    folder, rest = base_of(pattern)
    with store_errors(folder):
        found = sorted(folder.glob(rest))
        read = (path for path in found if ignored_part(path, folder) is None)
        return [path for path in read if is_data_file(path)], ignored_note(found, folder)


def files_within(pattern: str) -> list[Path]:
    """Return all files that match a pattern, and all files of the folders that match.

    Hidden and temporary ones are not among them.
    """
    folder, rest = base_of(pattern)
    with store_errors(folder):
        matched = list(folder.glob(rest))
        found = {*matched, *(file for path in matched if path.is_dir() for file in path.rglob("*"))}
        read = (file for file in found if ignored_part(file, folder) is None)
        return sorted(file for file in read if file.is_file())
