"""Atomic file writes: temporary name, fsync, rename; in an object store, a single put."""

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
#: Why a file is damaged if its hash differs.
CHANGED = "its contents have changed"
#: Bytes of raw numbers in a row group, and in a batch when reading.
_GROUP_BYTES, _BATCH_BYTES = 64 * 2**20, 16 * 2**20
_READ_BYTES = 2**20


class Written(NamedTuple):
    """Size and hash of a written file."""

    bytes: int
    sha256: str


class DamagedFileError(OSError):
    """A file differs from what was written or cannot be parsed; the message says why."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; renamed to ``path`` if the block ends without an error.

    Raises:
        LearnAlignError: if the disk is full, the folder is not writable or the store rejects the
            file. An existing file at ``path`` is left unchanged then.

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
            # Missing after the rename; the parent may not be a folder at all.
            if temporary.parent.is_dir():
                temporary.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError while writing ``path`` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise LearnAlignError(
                f"cannot write {path}: {reason}",
                expected="enough disk space for the next shard (nothing already written is lost)",
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
    """Return the temporary name of a local file or folder until it is complete.

    It contains the process id, so that files of dead processes can be deleted (`folders`).
    """
    return path.parent / f".{path.name}.{os.getpid()}.tmp"


def make_folder(path: Path) -> None:
    """Create a folder and its parents, and sync them so that they survive a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the renames in a folder (where the system supports it), to disk."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table) -> Written:
    """Write a Parquet file atomically; return its size and hash.

    Columns are compressed with zstd, except columns of raw numbers (fields with ``dtype`` in their
    metadata: sketches), which are written uncompressed, in row groups of bounded size.
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
        expected: SHA-256 that the file must have; None skips the check.

    Raises:
        DamagedFileError: if the file has another hash or is not a complete Parquet file.
    """
    with _parse_errors(), _local_copy(path) as local:
        _check_hash(local, expected)
        return pq.read_table(local, columns=None if columns is None else list(columns))


def read_batches(
    path: Path, columns: Sequence[str], *, expected: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Read columns of a Parquet file in batches of bounded size.

    Args:
        path: The file.
        columns: Their names.
        expected: See `read_table`.

    Yields:
        Batches in order, with at most 16 MiB of raw numbers each (or a single row).

    Raises:
        DamagedFileError: as `read_table`.
    """
    # Not pre-buffered: that would keep each row group in memory until its last batch is read.
    with _parse_errors(), _local_copy(path) as local:
        _check_hash(local, expected)
        yield from _batches(local, columns)


def _batches(local: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(local, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        raw = _raw(file.schema_arrow)
        width = sum(raw.get(name, 0) for name in columns)
        rows = max(1, _BATCH_BYTES // max(width, 256))
        yield from file.iter_batches(rows, columns=list(columns), use_threads=False)


def read_bytes(path: Path) -> bytes:
    """Read a whole file; from an object store in one request."""
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
    """Return a file's size in bytes, or None if it is missing; one small request in a store."""
    store: Any = path
    with store_errors(path):
        try:
            if not is_remote(path):
                return path.stat().st_size
            info = store.fs.info(store.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(info["size"]) if info["type"] == "file" else None


def is_file(path: Path) -> bool:
    """Return whether a file exists; an unavailable store is an error, not False."""
    return path.is_file() if not is_remote(path) else size(path) is not None


def sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    with _local_copy(path) as local, local.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _put(path: Path) -> Iterator[Path]:
    """Yield a local temporary file; it is uploaded in one put when the block ends."""
    store: Any = path
    with tempfile.TemporaryDirectory(prefix="learnalign-") as folder:
        temporary = Path(folder) / path.name
        with explained(temporary):
            yield temporary
        with store_errors(path):
            store.fs.put_file(str(temporary), store.path)


@contextmanager
def _local_copy(path: Path) -> Iterator[Path]:
    """Yield a local file: the file itself, or a download that is deleted when the block ends."""
    if not is_remote(path):
        yield path
        return
    store: Any = path
    with tempfile.TemporaryDirectory(prefix="learnalign-") as folder:
        local = Path(folder) / path.name
        with store_errors(path):
            store.fs.get_file(store.path, str(local))
        yield local


def _check_hash(local: Path, expected: str | None) -> None:
    if expected is not None and sha256(local) != expected:
        raise DamagedFileError(CHANGED)


@contextmanager
def _parse_errors() -> Iterator[None]:
    """Turn pyarrow's errors about an incomplete or damaged file into DamagedFileError."""
    try:
        yield
    except (LearnAlignError, MemoryError):
        raise
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        # An error of the operating system has an errno; pyarrow's own OSErrors do not.
        if isinstance(error, DamagedFileError) or getattr(error, "errno", None):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedFileError(f"it cannot be read: {reason}") from error


def _raw(schema: pa.Schema) -> dict[str, int]:
    """Return the columns of raw numbers, with the bytes per value."""
    return {
        field.name: field.type.byte_width
        for field in schema
        if pa.types.is_fixed_size_binary(field.type) and b"dtype" in (field.metadata or {})
    }


def _leaves(field: pa.Field) -> list[str]:
    """List the Parquet leaf columns of a column of scalars, lists and structs."""
    if pa.types.is_struct(field.type):
        inner, path = list(field.type), field.name
    elif pa.types.is_list(field.type):
        inner, path = [field.type.value_field.with_name("element")], f"{field.name}.list"
    else:
        return [field.name]
    return [f"{path}.{leaf}" for child in inner for leaf in _leaves(child)]
