"""Decompressing a file by its suffix and decoding it by its byte-order mark."""

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.storage import files

#: Suffixes of compressed files.
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
#: UTF-32 first, because its mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


#: First bytes of compressed files and Parquet files.
_SIGNATURES = (
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"BZh", "bz2", ".bz2"),
    (b"\xfd7zXZ", "xz", ".xz"),
    (b"\x28\xb5\x2f\xfd", "zstd", ".zst"),
    (b"PK\x03\x04", "zip", ""),
    (b"PAR1", "Parquet", ".parquet"),
)


def uncompressed_name(path: Path) -> str:
    """Return a file's name without its compression suffix.

    Example:
        >>> uncompressed_name(Path("pool.jsonl.ZST")), uncompressed_name(Path("pool.csv"))
        ('pool.jsonl', 'pool.csv')
    """
    compressed = path.suffix.lower() in COMPRESSIONS
    return path.name[: -len(path.suffix)] if compressed else path.name


def read_text(path: Path) -> tuple[str, list[str]]:
    """Read a text file, compressed or not.

    Returns:
        The text, and notes about how it was read (an encoding other than UTF-8).

    Raises:
        LearnAlignError: if the compressed file is broken, or if the text is in another encoding
            without a byte-order mark.
    """
    data = _decompressed(files.read_bytes(path), path)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    _refuse_other_kinds(data, path)
    try:
        if encoding in (None, "UTF-8"):
            nul = data.find(b"\0", 0, 200)
            if nul >= 0:  # ASCII in UTF-16 is valid UTF-8 with NUL characters
                raise UnicodeDecodeError("utf-8", data, nul, nul + 1, "a NUL character")
            return data.decode("utf-8-sig"), []
        return data.decode(encoding), [encoding]
    except UnicodeDecodeError as error:
        raise _undecodable(data, error, encoding, path) from error


def _decompressed(data: bytes, path: Path) -> bytes:
    suffix = path.suffix.lower()
    try:
        if suffix == ".gz":
            return gzip.decompress(data)
        if suffix == ".bz2":
            return bz2.decompress(data)
        if suffix == ".xz":
            return lzma.decompress(data)
        if suffix == ".zst":
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                content: bytes = stream.read()
                return content
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        kind = {".gz": "gzip", ".zst": "zstd"}.get(suffix, suffix[1:])
        raise LearnAlignError(
            f"{path} is broken {kind}: {error}",
            expected=f"a complete {kind} file",
            do="copy it again",
        ) from error
    return data


def _refuse_other_kinds(data: bytes, path: Path) -> None:
    for signature, kind, suffix in _SIGNATURES:
        if data.startswith(signature):
            raise LearnAlignError(
                f"{path} has a text file's name but contains {kind}",
                expected="JSON, CSV or TSV, or a suffix that names the compression",
                do=f"rename it to end in {suffix}" if suffix else "unpack it",
            )


def _undecodable(
    data: bytes, error: UnicodeDecodeError, encoding: str | None, path: Path
) -> LearnAlignError:
    if encoding not in (None, "UTF-8"):
        return LearnAlignError(
            f"{path} has the byte-order mark of {encoding} but is not {encoding}: {error.reason}",
            expected=f"a complete file in {encoding}",
            do="copy it again, or convert it to UTF-8",
        )
    likely = "UTF-16" if b"\0" in data[:200] else "LATIN1"
    name = uncompressed_name(path)
    line = data.count(b"\n", 0, error.start) + 1
    return LearnAlignError(
        f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not valid UTF-8; "
        f"the encoding may be {likely}",
        expected="text encoded in UTF-8 (or in UTF-16 or UTF-32 with a byte-order mark)",
        do=f"convert it, for example: iconv -f {likely} -t UTF-8 {name} > converted"
        f"{Path(name).suffix}",
    )
