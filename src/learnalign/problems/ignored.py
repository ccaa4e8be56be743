"""Files and folders that are never read: hidden ones, locks, and files still being written."""

from collections.abc import Iterable
from pathlib import Path

#: Ends of the names of locks, backups and files that are not complete yet.
_ENDS = (".lock", ".tmp", ".temp", ".incomplete", ".part", ".partial", ".crdownload", ".swp", "~")
#: Number of names that a message lists.
_LISTED = 3


def is_ignored(name: str) -> bool:
    """Return whether a name is that of a hidden or temporary file or folder, or of a marker.

    Markers and folders of other programs begin with ``_`` and have no suffix (``_SUCCESS``,
    ``_temporary``, ``__MACOSX``); a file such as ``_train.jsonl`` may be data.

    Example:
        >>> [is_ignored(name) for name in (".a.jsonl", "a.jsonl.lock", "_SUCCESS", "_a.jsonl")]
        [True, True, True, False]
    """
    marker = name.startswith("_") and "." not in name
    return name.startswith((".", "~$")) or marker or name.lower().endswith(_ENDS)


def ignored_part(path: Path, folder: Path) -> str | None:
    """Return the ignored file or folder that a path in a folder is or is in; None if it is read.

    Example:
        >>> ignored_part(Path("data/a/.git/x.jsonl"), Path("data"))
        'a/.git'
        >>> ignored_part(Path("data/a/x.jsonl"), Path("data")) is None
        True
    """
    parts = path.relative_to(folder).parts
    found = (number for number, part in enumerate(parts, 1) if is_ignored(part))
    first = next(found, None)
    return None if first is None else "/".join(parts[:first])


def ignored_note(paths: Iterable[Path], folder: Path) -> list[str]:
    """Return the note that counts what is ignored among the paths in a folder; none without any.

    Example:
        >>> ignored_note(map(Path, ("data/b.tmp", "data/_SUCCESS", "data/a.csv")), Path("data"))
        ['2 hidden or temporary files skipped: _SUCCESS, b.tmp']
    """
    found = sorted({part for path in paths if (part := ignored_part(path, folder)) is not None})
    if not found:
        return []
    files = "files" if len(found) > 1 else "file"
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    listed = ", ".join(found[:_LISTED])
    return [f"{len(found):,} hidden or temporary {files} skipped: {listed}{more}"]
