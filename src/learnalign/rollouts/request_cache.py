"""Cache of a server's answers: one small file each, until their table has been written."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from learnalign.storage import files


class Journal:
    """Stores answers in a folder, each named after its request.

    Args:
        folder: Where the answers are stored; created with the first one. None stores nothing.

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
        """Return the names of the stored answers."""
        if self.folder is None or not self.folder.exists():
            return set()
        names = {path.name for path in self.folder.iterdir()}
        return {name for name in names if name.endswith(".json") and not name.startswith(".")}

    def read(self, name: str) -> dict[str, Any] | None:
        """Read an answer; None if it is missing or broken."""
        assert self.folder is not None
        try:
            entry = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) else None

    def write(self, name: str, entry: Mapping[str, Any]) -> None:
        """Store an answer, completely or not at all."""
        if self.folder is not None:
            files.write_text(self.folder / name, json.dumps(entry) + "\n")

    def remove(self, names: Iterable[str]) -> None:
        """Delete answers; missing ones are ignored."""
        if self.folder is not None:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)


def entry_name(problem_id: str, sample: int, request: Mapping[str, Any]) -> str:
    """Name the answer to a request; any other prompt, model or option changes the name.

    Args:
        problem_id: The rollout's problem.
        sample: The rollout's number.
        request: Everything the answer depends on.
    """
    text = json.dumps([problem_id, sample, request], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] + ".json"
