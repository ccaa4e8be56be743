"""Subsets of a run that a person made: ids, and where they come from."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.storage import files

_KIND = "learnalign subset"
_NAME = re.compile(r"[\w-][\w.-]{0,59}")


@dataclass(frozen=True)
class Subset:
    """Problems of a run."""

    problem_ids: list[str]
    """Without duplicates, in their order."""
    made: str = ""
    """``by hand`` if a person chose them on the page of `learnalign explore`."""
    view: str = ""
    """What the page showed: the part of its address after ``#``."""

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of it; empty for a plain list of ids."""
        return {"made": self.made, "view": self.view} if self.made else {}


def read_subset(path: Path) -> Subset:
    r"""Read a file of ids, one a line, or a subset that `learnalign explore` saved.

    Raises:
        LearnAlignError: if it is neither.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "ids.txt"
        >>> _ = path.write_text("a\n\nb\na\n")
        >>> read_subset(path).problem_ids
        ['a', 'b']
    """
    try:
        text = files.read_text(path)
    except UnicodeDecodeError as error:
        raise _not_a_subset(str(path)) from error
    if not text.lstrip().startswith("{"):
        lines = [line.strip() for line in text.splitlines()]
        return Subset(list(dict.fromkeys(line for line in lines if line)))
    try:
        return checked(json.loads(text), str(path))
    except ValueError as error:
        if isinstance(error, LearnAlignError):
            raise
        raise _not_a_subset(str(path)) from error


def checked(found: Any, what: str) -> Subset:
    """Check the contents of a saved subset.

    Raises:
        LearnAlignError: if a part is missing or of another type.
    """
    ids = found.get("problem_ids") if isinstance(found, dict) else None
    if (
        not isinstance(ids, list)
        or found.get("kind") != _KIND
        or not all(isinstance(name, str) for name in ids)
    ):
        raise _not_a_subset(what)
    view = found.get("view", "")
    return Subset(list(dict.fromkeys(ids)), str(found.get("made", "")), str(view))


def write_subset(folder: Path, name: str, subset: Subset, run: str) -> Path:
    """Write a subset as ``NAME.json``; the same subset may be written again.

    Raises:
        LearnAlignError: if the name is no file's name, or another subset has it.
    """
    if not _NAME.fullmatch(name):
        raise LearnAlignError(
            f"got the name '{name[:80]}'",
            expected="letters, digits, points, underscores and hyphens, at most 60",
            do="choose another name",
        )
    path = folder / f"{name}.json"
    if files.is_file(path) and read_subset(path).problem_ids != subset.problem_ids:
        raise LearnAlignError(
            f"{path} already exists with other problems", do="choose another name"
        )
    tree = {"kind": _KIND, "made": subset.made, "name": name, "run": run, "view": subset.view}
    tree["problem_ids"] = subset.problem_ids  # type: ignore[assignment]
    files.write_text(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
    return path


def _not_a_subset(what: str) -> LearnAlignError:
    return LearnAlignError(
        f"{what} is not a subset",
        expected="ids, one a line, or the file that `learnalign explore` saves",
        do="save the subset again",
    )
