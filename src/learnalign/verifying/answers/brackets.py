r"""Brackets, quotes and markup around an answer, and splitting lists outside brackets."""

import re

from learnalign.verifying.answers.notation import closing

_MARKS = ("**", "__", "``", "`", "*", '"', "$$", "$")
_ENDS = " \t\n\r\f\v.,;:。，；、\\"
#: A repeating decimal, 0.333...
_REPEATS = re.compile(r"\.\d+\.\.\.$")
#: Excludes dollars that are a currency: followed by a digit, with a space before the next dollar.
SPAN = r"(?<!\\)\$(?:(?=[^\s$])([^$\n]*?[^\s\\$])|[ \t]+([^$\n\d][^$\n]*?)[ \t]+)\$(?!\d)"
_SPAN = re.compile(SPAN)


def trimmed(text: str) -> str:
    r"""Strip whitespace, punctuation, emphasis and math delimiters around an answer.

    Example:
        >>> trimmed(" **12**. "), trimmed(r"$\frac{1}{2}$,"), trimmed(r"\(x\)"), trimmed("{12}")
        ('12', '\\frac{1}{2}', 'x', '12')
        >>> trimmed("$18 and $20"), trimmed("$x$ and $y$"), trimmed("4!")
        ('$18 and $20', 'x and y', '4!')
    """
    before = None
    while text != before:
        before = text
        text = text.strip()
        if not _REPEATS.search(text[-40:]):
            text = text.rstrip(_ENDS)
        for mark in _MARKS:
            inner = text[len(mark) : len(text) - len(mark)]
            if text.startswith(mark) and text.endswith(mark) and inner and mark not in inner:
                text = inner.strip()
        for opener, closer in (("\\(", "\\)"), ("\\[", "\\]")):
            if text.startswith(opener) and text.find(closer) == len(text) - 2 > 0:
                text = text[2:-2].strip()
        if text.startswith("{") and closing(text, 0) == len(text) - 1:
            text = text[1:-1].strip()
        text = _SPAN.sub(lambda span: span[1] or span[2], text)
    return text


def matched(text: str) -> bool:
    """Return whether a text is a single bracketed expression.

    Example:
        >>> matched("(1, 2]"), matched("(1)(2)"), matched("12")
        (True, False, False)
    """
    return text[:1] in ("(", "[", "{") and len(text) > 1 and closing(text, 0) == len(text) - 1


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split a text at separators outside all brackets.

    Example:
        >>> split("(1, 2), 3", re.compile(", "))
        ['(1, 2)', '3']
    """
    depths, depth = [], 0
    for sign in text:
        depth -= sign in ")]}"
        depths.append(depth)
        depth += sign in "([{"
    parts, start = [], 0
    for match in separator.finditer(text):
        if match.end() > match.start() and depths[match.start()] <= 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts.append(text[start:].strip())
    return parts
