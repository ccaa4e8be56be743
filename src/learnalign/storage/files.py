"""Files that are written whole or not at all: temporary name, fsync, rename; or one put."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.errors import LearnAlignError
from learnalign.storage.paths import is_remote, store_errors

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
#: Bytes of raw numbers in a row group, and in a batch that is read.
_GROUP_BYTES, _BATCH_BYTES = 64 * 2**20, 16 * 2**20
_READ_BYTES = 2**20


class Written(NamedTuple):
    """What became of a file."""

    bytes: int
    sha256: str


class DamagedFileError(OSError):
    """A file is not what was written, or cannot be read as what it should be; says why."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends without an error.

    Raises:
        LearnAlignError: if the disk is full, the folder cannot be written to or the store does not
            take it. What stood at ``path`` before stands there still.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "deep" / "note.txt"
        >>> with atomic(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text(), [p.name for p in path.parent.iterdir()]
        ('whole', ['note.txt'])
    """
    if is_remote(path):
        with _put(path) as temporary:
            yield temporary
        return
    temporary = temporary_name(path)
    with explained(path):
        try:
            make_folder(path.parent)
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
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


def temporary_name(path: Path) -> Path:
    """Name what stands in for a file or folder of this machine until it is whole.

    The process is part of the name: what a dead one left behind can be told (`folders`).
    """
    return path.parent / f".{path.name}.{os.getpid()}.tmp"


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that they last through a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Have the disk take a file, or what was renamed in a folder (where the system can)."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table) -> Written:
    """Write a Parquet file whole or not at all; give its size and hash.

    Columns are compressed with zstd, but for those of raw numbers, whose field says what they are
    (``dtype`` in its metadata: sketches). These are written as they are, and in row groups of
    bounded size.
    """
    raw = _raw(table.schema)
    options: dict[str, Any] = {"compression": "zstd"}
    if raw:
        others = [x for field in table.schema if field.name not in raw for x in _leaves(field)]
        options = {
            "compression": dict.fromkeys(raw, "none") | dict.fromkeys(others, "zstd"),
            "use_dictionary": others,
            "write_statistics": others,
            "row_group_size": max(1, _GROUP_BYTES // sum(raw.values())),
        }
    with atomic(path) as temporary:
        pq.write_table(table, temporary, **options)
        return Written(temporary.stat().st_size, sha256(temporary))


def read_table(
    path: Path, columns: Sequence[str] | None = None, *, expected: str | None = None
) -> pa.Table:
    """Read a Parquet file, or some of its columns.

    Args:
        path: The file.
        columns: Their names; None for all.
        expected: SHA-256 that the file must have; None reads it as it is.

    Raises:
        DamagedFileError: if the file has another hash, or is no whole Parquet file.
    """
    with _parsed(), _here(path) as here:
        _compare(here, expected)
        return pq.read_table(here, columns=None if columns is None else list(columns))


def read_batches(
    path: Path, columns: Sequence[str], *, expected: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Read columns of a Parquet file from its beginning, a bounded piece at a time.

    Args:
        path: The file.
        columns: Their names.
        expected: See `read_table`.

    Yields:
        Batches in order, whose raw numbers take 16 MiB at most (or are one row's).

    Raises:
        DamagedFileError: as `read_table`.
    """
    # Not pre-buffered: that would keep each row group whole until its last batch is gone.
    with _parsed(), _here(path) as here:
        _compare(here, expected)
        yield from _batches(here, columns)


def _batches(here: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(here, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        raw = _raw(file.schema_arrow)
        width = sum(raw.get(name, 0) for name in columns)
        rows = max(1, _BATCH_BYTES // max(width, 256))
        yield from file.iter_batches(rows, columns=list(columns), use_threads=False)


def read_bytes(path: Path) -> bytes:
    """Read a whole file; of a store, in one request."""
    if not is_remote(path):
        return path.read_bytes()
    store: Any = path
    with store_errors(path):
        data: bytes = store.fs.cat_file(store.path)
        return data


def read_text(path: Path) -> str:
    """Read a text file (UTF-8)."""
    return read_bytes(path).decode("utf-8")


def size(path: Path) -> int | None:
    """Give a file's bytes; None if there is none. In a store it costs one small request."""
    store: Any = path
    with store_errors(path):
        try:
            if not is_remote(path):
                return path.stat().st_size
            found = store.fs.info(store.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(found["size"]) if found["type"] == "file" else None


def is_file(path: Path) -> bool:
    """Say whether there is a file; a store that does not answer is an error, not a no."""
    return path.is_file() if not is_remote(path) else size(path) is not None


def sha256(path: Path) -> str:
    """Hash a file's bytes, as 64 hexadecimal digits."""
    with _here(path) as here, here.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _put(path: Path) -> Iterator[Path]:
    """Give a file of this machine; it is put into the store in one piece when the block ends."""
    store: Any = path
    with tempfile.TemporaryDirectory(prefix="learnalign-") as folder:
        temporary = Path(folder) / path.name
        with explained(temporary):
            yield temporary
        with store_errors(path):
            store.fs.put_file(str(temporary), store.path)


@contextmanager
def _here(path: Path) -> Iterator[Path]:
    """Give a file of this machine: the file itself, or a copy that is gone when the block ends."""
    if not is_remote(path):
        yield path
        return
    store: Any = path
    with tempfile.TemporaryDirectory(prefix="learnalign-") as folder:
        here = Path(folder) / path.name
        with store_errors(path):
            store.fs.get_file(store.path, str(here))
        yield here


def _compare(here: Path, expected: str | None) -> None:
    if expected is not None and sha256(here) != expected:
        raise DamagedFileError("its contents are not those that were written")


@contextmanager
def _parsed() -> Iterator[None]:
    """Turn what pyarrow says of a file that is not whole into one kind of error."""
    try:
        yield
    except (LearnAlignError, MemoryError):
        raise
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        # An error of the system's has a number; pyarrow's own OSErrors have none.
        if isinstance(error, DamagedFileError) or getattr(error, "errno", None):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedFileError(f"it cannot be read: {reason}") from error


def _raw(schema: pa.Schema) -> dict[str, int]:
    """Give the columns of raw numbers, with the bytes of a value."""
    return {
        field.name: field.type.byte_width
        for field in schema
        if pa.types.is_fixed_size_binary(field.type) and b"dtype" in (field.metadata or {})
    }


def _leaves(field: pa.Field) -> list[str]:
    """Name the Parquet columns that a column of scalars, lists and structs is stored in."""
    if pa.types.is_struct(field.type):
        inner, path = list(field.type), field.name
    elif pa.types.is_list(field.type):
        inner, path = [field.type.value_field.with_name("element")], f"{field.name}.list"
    else:
        return [field.name]
    return [f"{path}.{leaf}" for child in inner for leaf in _leaves(child)]
