"""Control characters made visible, so that no foreign text gives orders to a terminal."""

import re

#: C0 and DEL, C1, the line and paragraph separators, lone surrogates, and Unicode's Bidi_Control.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: object, *, multiline: bool = True) -> str:
    r"""Write control characters as a Python literal would; all other text stays as it is.

    A terminal acts on them: it moves the cursor, hides or recolours what was printed, sets its
    title or the clipboard, or shows letters in another order. For text of data, models, servers,
    files' names and exceptions, on its way to a terminal or a log.

    Args:
        text: What to show; what is no string is turned into one first.
        multiline: Whether newlines and tabs may stay. False for text that has one line of its own
            or a table's cell.

    Returns:
        Text without control characters; the same again when given what it returned.

    Example:
        >>> visible("a\x1b[31mb\tc\r\n")
        'a\\x1b[31mb\tc\\r\n'
        >>> visible("one\ntwo", multiline=False)
        'one\\ntwo'
        >>> visible("\u202eabc \ud83d \U0001f600")
        '\\u202eabc \\ud83d 😀'
    """
    return _CONTROLS.sub(_escaped if not multiline else _escaped_but_lines, str(text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _escaped_but_lines(match: re.Match[str]) -> str:
    return match[0] if match[0] in "\n\t" else _escaped(match)
