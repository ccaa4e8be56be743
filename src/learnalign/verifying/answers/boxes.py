r"""The last box of a completion: ``\boxed`` or ``\fbox``, with any content."""

import re
from collections.abc import Iterator

#: A backslash may have been read as an escape: ``"\boxed"`` begins with a backspace then.
_BOX = re.compile(r"(?:\\|\x08)(?:boxed|oxed|fbox|framebox)(?![a-zA-Z])\s*")
_BARE = re.compile(r"[^\s$\\{}]+")
#: What may stand between boxes that are one list.
_JOINT = re.compile(
    r"(?:[\s$,;.]|\\[()\[\],; ]|\\q?quad|\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b"
    r"|(?<![A-Za-z\\])[A-Za-z](?:_\{?\d\}?)?\s?=)*",
    re.IGNORECASE,
)


def first_box(text: str) -> int:
    """Find the first box, closed or not; -1 if there is none."""
    found = _BOX.search(text)
    return -1 if found is None else found.start()


def last_boxes(text: str) -> list[str] | None:
    r"""Return the content of the last box, preceded by the boxes that form one list with it.

    Returns:
        At least one text, the last box's at the end; an empty one where the last box was never
        closed; None if there is no box. Boxes that hold nothing are passed over.

    Example:
        >>> last_boxes(r"\boxed{3}? No, \boxed{\frac{1}{2}}")
        ['\\frac{1}{2}']
        >>> last_boxes(r"\boxed{1} and \fbox {2}"), last_boxes(r"so \boxed{12"), last_boxes("12")
        (['1', '2'], [''], None)
    """
    found: list[str] = []
    begin = len(text)
    for start, end, content in _from_the_last(text):
        between = text[end:begin]
        if found and (end > begin or "\n\n" in between or not _JOINT.fullmatch(between)):
            break
        found.insert(0, content)
        begin = start
        if not content:
            break
    return found or None


def _from_the_last(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield boxes from last to first as (start, end, content)."""
    unclosed = False
    for found in reversed(list(_BOX.finditer(text))):
        end = found.end()
        if text[end : end + 1] == "{":
            closed = _closing_brace(text, end)
            if closed is None:
                if not unclosed:
                    yield found.start(), len(text), ""
                unclosed = True
                continue
            content, end = text[end + 1 : closed].strip(), closed + 1
        else:
            bare = _BARE.match(text, end)
            content, end = (bare.group(0), bare.end()) if bare else ("", end)
        if content:
            yield found.start(), end, content


def _closing_brace(text: str, start: int) -> int | None:
    """Find the brace that closes the one at ``start``; escaped ones do not count."""
    depth = 0
    for found in re.finditer(r"(?<!\\)[{}]", text[start:]):
        depth += 1 if found.group(0) == "{" else -1
        if depth == 0:
            return start + found.start()
    return None
