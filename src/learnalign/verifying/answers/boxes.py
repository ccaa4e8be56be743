r"""Finding the last box of a completion: ``\boxed`` or ``\fbox``, with any content."""

import re
from collections.abc import Iterator

#: If the backslash of ``"\boxed"`` was parsed as an escape, the text starts with a backspace.
_BOX = re.compile(r"(?:\\|\x08)(?:boxed|oxed|fbox|framebox)(?![a-zA-Z])\s*")
_BARE = re.compile(r"[^\s$\\{}]+")
#: Text between boxes that form one list.
_JOINT = re.compile(
    r"(?:[\s$,;.]|\\[()\[\],; ]|\\q?quad|\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b"
    r"|(?<![A-Za-z\\])[A-Za-z](?:_\{?\d\}?)?\s?=)*",
    re.IGNORECASE,
)


def first_box(text: str) -> int:
    """Return the position of the first box, closed or not; -1 without a box."""
    match = _BOX.search(text)
    return -1 if match is None else match.start()


def last_boxes(text: str) -> list[str] | None:
    r"""Return the content of the last box, preceded by the boxes that form one list with it.

    Returns:
        At least one text, with the last box's at the end, which is empty if that box is not closed;
        None without a box. Empty boxes are skipped.

    Example:
        >>> last_boxes(r"\boxed{3}? No, \boxed{\frac{1}{2}}")
        ['\\frac{1}{2}']
        >>> last_boxes(r"\boxed{1} and \fbox {2}"), last_boxes(r"so \boxed{12"), last_boxes("12")
        (['1', '2'], [''], None)
    """
    contents: list[str] = []
    begin = len(text)
    for start, end, content in _boxes_from_last(text):
        between = text[end:begin]
        if contents and (end > begin or "\n\n" in between or not _JOINT.fullmatch(between)):
            break
        contents.insert(0, content)
        begin = start
        if not content:
            break
    return contents or None


def _boxes_from_last(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield boxes from last to first as (start, end, content)."""
    unclosed = False
    for match in reversed(list(_BOX.finditer(text))):
        end = match.end()
        if text[end : end + 1] == "{":
            closed = _closing_brace(text, end)
            if closed is None:
                if not unclosed:
                    yield match.start(), len(text), ""
                unclosed = True
                continue
            content, end = text[end + 1 : closed].strip(), closed + 1
        else:
            bare = _BARE.match(text, end)
            content, end = (bare.group(0), bare.end()) if bare else ("", end)
        if content:
            yield match.start(), end, content


def _closing_brace(text: str, start: int) -> int | None:
    """Return the position of the brace that closes the one at ``start``; skip escaped braces."""
    depth = 0
    for match in re.finditer(r"(?<!\\)[{}]", text[start:]):
        depth += 1 if match.group(0) == "{" else -1
        if depth == 0:
            return start + match.start()
    return None
