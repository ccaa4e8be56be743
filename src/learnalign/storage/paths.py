"""Paths on this machine, and URLs in an object store (s3://bucket/run)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from learnalign.errors import LearnAlignError

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
#: Stores in which an object appears only when it is complete (and ``memory``, for experiments).
_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
#: Words in the clients' exception names for missing credentials.
_UNSIGNED = ("Credential", "Token", "Auth")


def is_url(path: object) -> bool:
    """Return whether a value is a URL.

    Example:
        >>> is_url("s3://bucket/run"), is_url("runs/x"), is_url("reasoning-gym:chain_sum?size=9")
        (True, False, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def as_path(path: str | Path) -> Path:
    """Convert to a path: a `pathlib.Path` on this machine, a `UPath` for a URL.

    Raises:
        LearnAlignError: for storage without atomic writes, or whose package is not installed.

    Example:
        >>> as_path("runs/x") == Path("runs/x")
        True
        >>> str(as_path("memory://bucket/run/") / "manifest.json")
        'memory://bucket/run/manifest.json'
    """
    if not isinstance(path, str):
        return path
    match = _URL.match(path)
    if match is None:
        return Path(path)
    protocol = match[1]
    if protocol not in _STORES or not path[match.end() :].strip("/"):
        raise LearnAlignError(
            f"got {path}",
            expected="a path, or the URL of a folder in a bucket: "
            + ", ".join(f"{name}://" for name in _STORES),
            do="correct the URL; mount other storage and pass its path",
        )
    try:
        import fsspec
        from upath import UPath

        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise LearnAlignError(
            f"{path} needs packages that are not installed: {error}",
            do="pip install 'learnalign[remote]' (and gcsfs for gs://, adlfs for az://)",
        ) from error
    # No listings cache: files that another machine has written must be visible.
    return cast(Path, UPath(path.rstrip("/"), use_listings_cache=False))


def is_remote(path: Path) -> bool:
    """Return whether a path is in an object store."""
    return hasattr(type(path), "fs") and not isinstance(path, Path)


def require_local(path: Path, what: str) -> None:
    """Reject a URL where only a local folder works.

    Raises:
        LearnAlignError: for a URL.
    """
    if is_remote(path):
        raise LearnAlignError(
            f"got {path} for {what}",
            expected="a folder on this machine",
            do="use a local path for --out, and copy the folder when it is finished",
        )


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn an object store's errors into ones that say what to do; no effect on local paths."""
    try:
        yield
    except LearnAlignError:
        raise
    except Exception as error:  # every store's client has its own exceptions
        if not is_remote(path):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError):
            expected, do = "an existing bucket and object", "check the URL, or create the bucket"
        elif isinstance(error, PermissionError) or any(word in kind for word in _UNSIGNED):
            expected = "credentials with permission to read, write, list and delete there"
            do = "set them in the environment (for s3://: AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            do += "AWS_SECRET_ACCESS_KEY), or ask the bucket's owner for access"
        else:
            expected = "a store that responds (nothing already written is lost)"
            do = "check the network and the endpoint (AWS_ENDPOINT_URL), and run the same command"
        raise LearnAlignError(f"cannot reach {path}: {reason}", expected=expected, do=do) from error


def _validated(value: Any, handler: ValidatorFunctionWrapHandler) -> Path:
    """Let pydantic parse local paths, but not URLs: it would collapse their slashes."""
    if is_url(value) or is_remote(value):
        return as_path(value)
    return cast(Path, handler(value))


def _serialized(value: Path) -> str:
    return str(value)


#: A path in the configuration that may be a URL.
StoragePath = Annotated[
    Path, WrapValidator(_validated), PlainSerializer(_serialized, return_type=str, when_used="json")
]
