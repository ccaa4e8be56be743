"""Patterns of files, such as ``shards/part-*.jsonl``, in a local folder or an object store."""

from pathlib import Path

from learnalign.problems.folders import is_data_file
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


def matching(pattern: str) -> list[Path]:
    """Return the data files that match a pattern, in the order of their paths."""
    folder, rest = base_of(pattern)
    with store_errors(folder):
        return sorted(path for path in folder.glob(rest) if is_data_file(path))
