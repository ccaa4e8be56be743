"""The error a user can mend: what we got, what we expected, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

from learnalign.terminal.control_characters import visible

#: How many known words a message lists.
_MOST = 32


class LearnAlignError(ValueError):
    r"""An error in what the user gave us; the command line prints it and exits with code 2.

    Its text may quote data, paths and servers: control characters in it are made visible.

    Example:
        >>> str(LearnAlignError("got no file", expected="a JSONL file", do="check the path"))
        'got no file\n  expected: a JSONL file\n  to do: check the path'
    """

    def __init__(self, got: str, *, expected: str | None = None, do: str | None = None) -> None:
        self.got, self.expected, self.do = got, expected, do
        lines = [got]
        if expected:
            lines.append(f"  expected: {expected}")
        if do:
            lines.append(f"  to do: {do}")
        super().__init__(visible("\n".join(lines)))


def nearest(name: str, known: Iterable[str]) -> str:
    """Name the known words nearest to a mistyped one, or the first of them if none is near.

    Example:
        >>> nearest("promt", ["prompt", "answer"])
        "the nearest is 'prompt'"
        >>> nearest("zzz", ["prompt", "answer"])
        "known are 'answer', 'prompt'"
        >>> nearest("zzz", map(str, range(2000)))[-20:]
        "1025' and 1,968 more"
    """
    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "the nearest is " + " or ".join(repr(n) for n in close)
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return "known are " + ", ".join(repr(n) for n in names[:_MOST]) + more
