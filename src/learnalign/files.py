"""Files that are written whole or not at all: temporary name, fsync, rename."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.errors import LearnAlignError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends without an error.

    Raises:
        LearnAlignError: if the disk is full or the folder cannot be written to. What stood at
            ``path`` before stands there still.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "deep" / "note.txt"
        >>> with atomic(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text(), [p.name for p in path.parent.iterdir()]
        ('whole', ['note.txt'])
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            # Nothing is there once it has been renamed, nor where the folder is none.
            if temporary.parent.is_dir():
                temporary.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise LearnAlignError(
                f"cannot write {path}: {reason}",
                expected="room for the next shard; everything written before stands",
                do="free space (or move the run folder to a larger disk) and run the same command",
            ) from error
        if error.errno in _FORBIDDEN or isinstance(error, FileExistsError | NotADirectoryError):
            raise LearnAlignError(
                f"cannot write {path}: {reason}",
                expected="a folder this user may write to",
                do="choose another folder with --out, or change its permissions",
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file (zstd) whole or not at all."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def sha256(path: Path) -> str:
    """Hash a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut (where the system can sync a folder)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
