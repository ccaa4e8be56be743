"""Replace a file or folder only where LearnAlign made the one that is there."""

from collections.abc import Callable
from pathlib import Path

from learnalign.errors import LearnAlignError
from learnalign.storage.paths import store_errors


def require_replaceable(
    path: Path, is_own: Callable[[Path], bool], *, kind: str, expected: str, do: str
) -> None:
    """Reject a path where something else is, before it is overwritten.

    Args:
        path: The file or folder to write.
        is_own: Whether what is at ``path`` may be replaced; called if there is something.
        kind: What is written: ``a page of ...``.
        expected: What may be at ``path``.
        do: What else the user can do.

    Raises:
        LearnAlignError: if something that may not be replaced is there.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "notes.txt"
        >>> words = {"kind": "ours", "expected": "a new file", "do": "move it"}
        >>> require_replaceable(path, lambda there: False, **words)
        >>> _ = path.write_text("mine")
        >>> require_replaceable(path, lambda there: False, **words)
        Traceback (most recent call last):
        learnalign.errors.LearnAlignError: .../notes.txt exists and is not ours...
    """
    with store_errors(path):
        taken = path.exists()
    if taken and not is_own(path):
        raise LearnAlignError(f"{path} exists and is not {kind}", expected=expected, do=do)
