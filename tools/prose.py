"""Find banned words in the project's prose, and say what to write instead.

``make lint`` runs it over the docs, the source and the report's template. The list is
``tools/banned_words.txt``: a regular expression, a tab, what to write instead.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The files that are checked.
CHECKED = (
    "*.md",
    *(
        f"{folder}/**/*.{kind}"
        for folder in ("docs", "recipes", "examples")
        for kind in ("md", "yaml")
    ),
    *(f"{folder}/**/*.{kind}" for folder in ("src", "benchmarks") for kind in ("py", "j2")),
)


@dataclass(frozen=True)
class Banned:
    """One entry of the list."""

    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True)
class Hit:
    """A banned word, the line it is in, and what to write instead."""

    line: int
    word: str
    instead: str


def read_list(text: str) -> list[Banned]:
    r"""Read the list; lines that begin with ``#`` are comments.

    Raises:
        ValueError: for a line without a replacement.

    Example:
        >>> [entry.instead for entry in read_list("# prose\nby lot\tat random\n")]
        ['at random']
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, instead = line.partition("\t")
        if not instead.strip():
            raise ValueError(f"line {number}: expected PATTERN, a tab, what to write instead")
        anywhere = pattern.replace(" ", r"[\s#]+")  # a phrase may be broken over two lines
        entries.append(Banned(re.compile(rf"\b(?:{anywhere})\b", re.IGNORECASE), instead.strip()))
    return entries


def hits(text: str, banned: list[Banned]) -> Iterator[Hit]:
    r"""Find the banned words in a text.

    Example:
        >>> entries = read_list("by lot\tat random")
        >>> [(hit.line, hit.instead) for hit in hits("One.\nDrawn by\n    # lot.", entries)]
        [(2, 'at random')]
    """
    for entry in banned:
        for match in entry.pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Hit(line, " ".join(match[0].split()), entry.instead)


def main() -> int:
    """Check every file of prose; return 1 if there is a hit."""
    banned = read_list((ROOT / "tools" / "banned_words.txt").read_text())
    found = 0
    for path in sorted(path for pattern in CHECKED for path in ROOT.glob(pattern)):
        for hit in hits(path.read_text(), banned):
            print(f"{path.relative_to(ROOT)}:{hit.line}: '{hit.word}': write {hit.instead}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
