"""Escape control characters, so that untrusted text cannot control the terminal."""

import re

#: C0 and DEL, C1, the line and paragraph separators, lone surrogates, and Unicode's Bidi_Control.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: object, *, multiline: bool = True) -> str:
    r"""Escape control characters as in a Python literal; all other text is unchanged.

    Control characters can move the cursor, hide or recolour output, set the window title or the
    clipboard, or reorder letters. Use this for text from data, models, servers, file names and
    exceptions before it goes to a terminal or a log.

    Args:
        text: Text to show; other objects are converted with `str`.
        multiline: Whether to keep newlines and tabs. False for text in a single line or a table
            cell.

    Returns:
        Text without control characters. Escaping it again changes nothing.

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
