"""Folders that are written and deleted whole or not at all, and what dead processes left."""

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
    """Give a temporary folder to write to; it becomes ``path`` when the block ends well.

    What stood at ``path`` before is deleted then. Files and folders are synced: from the moment
    that ``path`` is there, it stays through a power cut.

    Raises:
        LearnAlignError: if the disk is full or the folder cannot be written to.

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
    """Have the disk take all files of a folder, and the folder."""
    for path in folder.rglob("*"):
        files.sync(path)
    files.sync(folder)


def remove_tree(path: Path) -> None:
    """Delete a folder and all that is in it, if there is one; killed meanwhile, it is gone too."""
    if is_remote(path):
        store: Any = path
        with store_errors(path), suppress(FileNotFoundError):
            store.fs.rm(store.path, recursive=True)
        return
    if not path.exists():
        return
    gone = files.temporary_name(path.with_name(f"{path.name}.gone"))
    shutil.rmtree(gone, ignore_errors=True)
    try:
        path.rename(gone)
    except OSError:  # a mount point, say
        gone = path
    shutil.rmtree(gone, ignore_errors=True)


def remove_matching(folder: Path, pattern: str, *, but: Collection[str] = ()) -> None:
    """Delete the files of a folder whose names match, but for those that are named."""
    with store_errors(folder):
        for path in list(folder.glob(pattern)):
            if path.name not in but:
                path.unlink()


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Delete the temporary files and folders of processes that run no more.

    Args:
        folders: Where to look, not below; of those that this process alone writes to. What bears
            its own number is another's from before.
    """
    for folder in folders:
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            match = _LEFTOVER.fullmatch(path.name)
            if match is None or _runs(int(match[1])):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Say whether another process has that number."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
