"""What has been paid for: one small file for each answer of a server, until its table stands."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from learnalign.storage import files


class Journal:
    """Keeps answers in a folder, each under the name of what was asked.

    Args:
        folder: Where they lie; it is made with the first one. None keeps nothing.

    Example:
        >>> import tempfile
        >>> journal = Journal(Path(tempfile.mkdtemp()) / "requests")
        >>> name = entry_name("p1", 0, {"temperature": 1.0})
        >>> journal.write(name, {"text": "4"})
        >>> journal.names() == {name}, journal.read(name)
        (True, {'text': '4'})
        >>> journal.remove([name])
        >>> journal.names()
        set()
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def names(self) -> set[str]:
        """Name the answers there are."""
        if self.folder is None or not self.folder.exists():
            return set()
        found = {path.name for path in self.folder.iterdir()}
        return {name for name in found if name.endswith(".json") and not name.startswith(".")}

    def read(self, name: str) -> dict[str, Any] | None:
        """Read an answer; None if it is gone or cannot be read."""
        assert self.folder is not None
        try:
            entry = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) else None

    def write(self, name: str, entry: Mapping[str, Any]) -> None:
        """Keep an answer, whole or not at all."""
        if self.folder is not None:
            files.write_text(self.folder / name, json.dumps(entry) + "\n")

    def remove(self, names: Iterable[str]) -> None:
        """Throw answers away; those that are gone already do no harm."""
        if self.folder is not None:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)


def entry_name(problem_id: str, sample: int, asked: Mapping[str, Any]) -> str:
    """Name the answer to one request: another question, model or option gives another name.

    Args:
        problem_id: Whose rollout it is.
        sample: Which one.
        asked: All that the answer depends on.
    """
    text = json.dumps([problem_id, sample, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] + ".json"
