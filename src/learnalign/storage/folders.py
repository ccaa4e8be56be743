"""Atomic writes and deletes of folders, and cleanup after dead processes."""

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from learnalign.storage import files
from learnalign.storage.paths import is_remote, store_errors

_LEFTOVER = re.compile(r"\..+\.(\d+)\.tmp")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to write to; renamed to ``path`` if the block ends without an error.

    An existing folder at ``path`` is deleted then. Files and folders are synced, so that ``path``
    survives a power cut once it exists.

    Raises:
        LearnAlignError: if the disk is full or the folder is not writable.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model"
        >>> with atomic_folder(path) as temporary:
        ...     _ = (temporary / "weights").write_text("1.0")
        >>> with atomic_folder(path) as temporary:  # again
        ...     _ = (temporary / "weights").write_text("2.0")
        >>> [file.name for file in path.parent.rglob("*")], (path / "weights").read_text()
        (['model', 'weights'], '2.0')
    """
    temporary = files.temporary_name(path)
    with files.explained(path):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            files.make_folder(temporary.parent)
            temporary.mkdir()
            yield temporary
            sync_tree(temporary)
            remove_tree(path)
            temporary.rename(path)
            files.sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush a folder and all its files to disk."""
    for path in folder.rglob("*"):
        files.sync(path)
    files.sync(folder)


def remove_tree(path: Path) -> None:
    """Delete a folder and its contents, if it exists; on a kill, ``path`` is gone or unchanged."""
    if is_remote(path):
        store: Any = path
        with store_errors(path), suppress(FileNotFoundError):
            store.fs.rm(store.path, recursive=True)
        return
    if not path.exists():
        return
    renamed = files.temporary_name(path.with_name(f"{path.name}.gone"))
    shutil.rmtree(renamed, ignore_errors=True)
    try:
        path.rename(renamed)
    except OSError:  # for example a mount point
        renamed = path
    shutil.rmtree(renamed, ignore_errors=True)


def remove_matching(folder: Path, pattern: str, *, keep: Collection[str] = ()) -> None:
    """Delete the files of a folder whose names match, except those in ``keep``."""
    with store_errors(folder):
        for path in list(folder.glob(pattern)):
            if path.name not in keep:
                path.unlink()


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Delete the temporary files and folders of processes that have ended.

    Args:
        folders: Where to look, without subfolders; no other process may write to them. Files with
            this process's id come from an earlier process with the same id.
    """
    for folder in folders:
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            match = _LEFTOVER.fullmatch(path.name)
            if match is None or _is_running(int(match[1])):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    """Return whether another process has this id."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
