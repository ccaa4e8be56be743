r"""Finding mathematics in prose: marked spans, and runs of mathematical tokens."""

import re

from learnalign.verifying.answers.brackets import SPAN, trimmed
from learnalign.verifying.answers.notation import one_alphabet
from learnalign.verifying.answers.numbers import MAGNITUDES

#: Marked mathematics: ``$...$``, ``$$...$$``, ``\(...\)``, ``\[...\]``.
MARKED = re.compile(
    rf"\$\$([^$]+)\$\$|\\\[((?:(?!\\\[).)+?)\\\]|\\\(((?:(?!\\\().)+?)\\\)|(?<!\d){SPAN}", re.DOTALL
)
BOLD = re.compile(r"(?<!\S)\*\*(?=\S)|(?<=\S)\*\*(?=[\s.,;:!?)]|$)")
#: The start of a line in a list or a quotation.
BULLET = re.compile(r"\A\s*[-*>•][ \t]+(?=\S)")
_EMPHASIS_END = re.compile(r"(?<=[^\s*_`])[*_`]+\s*\Z")
_CUT_OFF = re.compile(r"(?:[-+*/=^_(\[{,×÷−]|\\[a-zA-Z]*)\s*\Z")
_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_TOKEN = "|".join(
    (
        r"\\[a-zA-Z]+",
        r"\\[{}%$,! ]",
        r"\d{1,2}(?::\d{2}){1,2}(?:\s*(?i:[ap]\.?m)\b\.?)?",
        r"\d{1,2}\s*(?i:[ap]\.?m)\b\.?",
        r"\d+(?:\s?:\s?\d+)+",
        rf"(?:{_MONTH})\w*\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?",
        rf"\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTH})\w*(?:,?\s\d{{4}})?",
        r"\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?%?",
        r"\.\d+",
        r"[-+*/=^_(){}\[\]|<>!≤≥×÷·√π∞°²³%$€£¥]",
        r"(?<![A-Za-z'’])[A-Za-z](?![A-Za-z'’])",
    )
)
_RUN = re.compile(rf"(?:{_TOKEN})(?:\s*(?:,\s*(?=[-\d\\(]))?(?:{_TOKEN}))*")
_MEANINGFUL = re.compile(r"\d|\\[a-zA-Z]{2,}|[A-Za-z].*[-+*/^=]|[-+*/^=].*[A-Za-z]")
_JOINED = re.compile(r"\s*,?\s*(?:and|or)\s*")
#: Text before a number that is not the answer, or only a part of it.
_QUALIFIED = re.compile(
    r"(?:(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\bcannot|rather than|instead of|anything but)\b"
    r"[^.\n\d]{0,25}|(?:less|more|greater|fewer|larger|smaller|other) than|at (?:least|most)"
    r"|between|up to|[\d.m%]\s+to)\s*[$(]*\s*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r"\s*(?:is|are)\s+(?:wrong|incorrect|not)\b", re.IGNORECASE)
_SCALE = re.compile(rf"\s*(?:{'|'.join(MAGNITUDES)})s?(?![A-Za-z])", re.IGNORECASE)
_NEGATIVE = re.compile(r"\b(?:negative|minus)\s+$", re.IGNORECASE)
_EQUALS = re.compile(r"(?<![<>!\\])=(?!=)")


def inner(span: re.Match[str]) -> str:
    """Return the content of a match of `MARKED`."""
    return next(group for group in span.groups() if group is not None).strip()


def last_expression(text: str) -> str | None:
    r"""Return the last expression of the last line with one; None if the text is cut off in one.

    If the line has an equals sign, the result is the text after it.

    Example:
        >>> last_expression("That is $x = 3$.\nI hope this helps!"), last_expression("38 - 1 +")
        ('3', None)
    """
    if is_cut_off(text):
        return None
    for line in reversed(text.splitlines()):
        expression = _last_of(line)
        if expression:
            return _result(expression)
    return None


def _result(expression: str) -> str:
    """Return the text after the last equals sign, except for several equations: x = 1, y = 2."""
    first, *rest = (part.strip() for part in _EQUALS.split(expression))
    if not rest or not rest[-1] or any("," in part for part in rest[:-1]):
        return expression
    # "5 = x" means that x is 5.
    return first if re.fullmatch(r"[A-Za-z]", rest[-1]) and first[-1:].isdigit() else rest[-1]


def is_cut_off(text: str) -> bool:
    """Return whether a text ends inside an expression.

    Example:
        >>> is_cut_off("3 + 4 ="), is_cut_off("**7**")
        (True, False)
    """
    return _CUT_OFF.search(_EMPHASIS_END.sub("", text)) is not None


def first_run(text: str) -> str | None:
    """Return the expression that a text starts with, or else its last one.

    Example:
        >>> first_run("12 sequences of 3"), first_run("in all 12")
        ('12', '12')
    """
    text = one_alphabet(text)
    match = _RUN.match(text)
    return trimmed(_balanced(match.group(0))) if match else _last_run(text)


def _last_of(line: str) -> str | None:
    """Return a line's last expression: a marked one, or a number after it."""
    spans = list(MARKED.finditer(line))
    if not spans:
        return _last_run(BOLD.sub("", line).replace("`", ""))
    number = _last_run(line[spans[-1].end() :])
    if number and number[0].isdigit():
        return number
    if _QUALIFIED.search(line[: spans[-1].start()]):
        return None
    return trimmed(", ".join(inner(span) for span in _joined(line, spans)))


def _last_run(text: str) -> str | None:
    """Return the last meaningful run of tokens: with a number, a command or an operation."""
    text = one_alphabet(text).replace("{,}", ",")
    runs = [
        run
        for run in _RUN.finditer(text)
        if _MEANINGFUL.search(run.group(0)) and run.group(0)[0] not in "^_}"
    ]
    if not runs:
        return None
    joined = _joined(text, runs)
    before = text[: joined[0].start()]
    if _QUALIFIED.search(before) or _DENIED_AFTER.match(text, joined[-1].end()):
        return None
    result = ", ".join(trimmed(_balanced(run.group(0))) for run in joined)
    scale = _SCALE.match(text, joined[-1].end())
    result += scale.group(0) if scale and result[-1:].isdigit() else ""
    return f"-{result}" if _NEGATIVE.search(before) else result


def _joined(text: str, matches: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the last match, preceded by those that "and" or "or" joins to it."""
    first = len(matches) - 1
    while first and _JOINED.fullmatch(text, matches[first - 1].end(), matches[first].start()):
        first -= 1
    return matches[first:]


def _balanced(run: str) -> str:
    """Drop unmatched brackets at the ends."""
    for opener, closer in ("()", "[]", "{}"):
        while run.endswith(closer) and run.count(closer) > run.count(opener):
            run = run[:-1].rstrip()
        while run.startswith(opener) and run.count(opener) > run.count(closer):
            run = run[1:].lstrip()
    return run
