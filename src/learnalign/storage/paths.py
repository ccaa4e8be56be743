"""Where files lie: a path of this machine, or an address in an object store (s3://bucket/run)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from learnalign.errors import LearnAlignError

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
#: Stores that show an object only once all of it is there (and ``memory``, for trying things out).
_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
#: What clients call it if they have nothing to sign a request with.
_UNSIGNED = ("Credential", "Token", "Auth")


def is_url(where: object) -> bool:
    """Say whether a text names shared storage.

    Example:
        >>> is_url("s3://bucket/run"), is_url("runs/x"), is_url("reasoning-gym:chain_sum?size=9")
        (True, False, False)
    """
    return isinstance(where, str) and _URL.match(where) is not None


def as_path(where: str | Path) -> Path:
    """Give a path: pathlib's own on this machine, for a URL one that acts like it.

    Raises:
        LearnAlignError: for storage whose files are not written whole, or whose package is missing.

    Example:
        >>> as_path("runs/x") == Path("runs/x")
        True
        >>> str(as_path("memory://bucket/run/") / "manifest.json")
        'memory://bucket/run/manifest.json'
    """
    if not isinstance(where, str):
        return where
    match = _URL.match(where)
    if match is None:
        return Path(where)
    protocol = match[1]
    if protocol not in _STORES or not where[match.end() :].strip("/"):
        raise LearnAlignError(
            f"got {where}",
            expected="a path, or the URL of a bucket's folder: one of "
            + ", ".join(f"{name}://" for name in _STORES),
            do="correct it; mount other storage and give the path",
        )
    try:
        import fsspec
        from upath import UPath

        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise LearnAlignError(
            f"{where} needs packages that are not installed: {error}",
            do="pip install 'learnalign[remote]' (for gs:// gcsfs, for az:// adlfs beside it)",
        ) from error
    # What another machine has written meanwhile must be seen: nothing is remembered.
    return cast(Path, UPath(where.rstrip("/"), use_listings_cache=False))


def is_remote(path: Path) -> bool:
    """Say whether a path lies in an object store."""
    return hasattr(type(path), "fs") and not isinstance(path, Path)


def require_local(path: Path, what: str) -> None:
    """Stop what cannot be kept in an object store.

    Raises:
        LearnAlignError: for a URL.
    """
    if is_remote(path):
        raise LearnAlignError(
            f"got {path} for {what}",
            expected="a folder of this machine",
            do="give a path with --out, and copy the folder when it is finished",
        )


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn a store's refusal into an error that says what to do; on this machine do nothing."""
    try:
        yield
    except LearnAlignError:
        raise
    except Exception as error:  # every store's client has errors of its own
        if not is_remote(path):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError):
            expected, do = "a bucket and an object that exist", "check the address; make the bucket"
        elif isinstance(error, PermissionError) or any(word in kind for word in _UNSIGNED):
            expected = "credentials that may read, write, list and delete there"
            do = "set them in the environment (of s3://: AWS_PROFILE, or AWS_ACCESS_KEY_ID and its "
            do += "secret), and ask the bucket's owner"
        else:
            expected = "a store that answers; everything written before stands"
            do = "check the network and the endpoint (AWS_ENDPOINT_URL), and run the same command"
        raise LearnAlignError(f"cannot reach {path}: {reason}", expected=expected, do=do) from error


def _validated(value: Any, handler: ValidatorFunctionWrapHandler) -> Path:
    """Let pydantic read paths as ever, and leave it no URL, whose slashes it would join."""
    if is_url(value) or is_remote(value):
        return as_path(value)
    return cast(Path, handler(value))


def _written(value: Path) -> str:
    return str(value)


#: A path in the configuration that may be a URL.
StoragePath = Annotated[
    Path, WrapValidator(_validated), PlainSerializer(_written, return_type=str, when_used="json")
]
