"""The error that a user can fix: what we got, what we expected, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

from learnalign.terminal.control_characters import visible

#: Maximum number of known names that a message lists.
_MAX_LISTED = 32


class LearnAlignError(ValueError):
    r"""An error in the user's input; the command line prints it and exits with code 2.

    The message may quote data, paths and servers; control characters in it are escaped.

    Example:
        >>> str(LearnAlignError("x does not exist", expected="a JSONL file", do="check the path"))
        'x does not exist\n  expected: a JSONL file\n  to do: check the path'
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
    """Suggest the known names nearest to a mistyped one, or list the first if none is near.

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
    more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
    return "known are " + ", ".join(repr(n) for n in names[:_MAX_LISTED]) + more
