r"""Locating the answer in a completion.

In this order: in the last ``<answer>``; in the last ``\boxed`` or ``\fbox``; after the last
``####``; after the last "the answer is" or "Answer:"; in the last expression of the last line
that has one. The extracted text is stored with the verdict.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from learnalign.verifying.answers.boxes import first_box, last_boxes
from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.cues import announced, announced_in, first_cue, without_denials
from learnalign.verifying.answers.expressions_in_text import (
    BULLET,
    MARKED,
    first_run,
    is_cut_off,
    last_expression,
)

TAG, BOX, HASHES, CUE, LINE = "answer tag", "box", "####", "cue", "last line"
#: Maximum words of a last line that is only an answer.
_FEW_WORDS = 5
#: Number of characters at the end to search for an answer without a tag or a box.
_TAIL = 8_000
_ANSWER = re.compile(
    r"(?:<(?:final_)?answer>|<\|begin_of_box\|>)(.*?)(?:</(?:final_)?answer>|<\|end_of_box\|>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
#: Special tokens that were kept in recorded rollouts.
_END_TOKEN = re.compile(r"(?:<\|[\w▁]{1,40}\|>|</?s>|<eos>|<end_of_turn>)\Z")
_HASHES = re.compile(r"####[ \t]*([^\s#].*)")
#: Text after #### that is a heading rather than an answer.
_HEADING = re.compile(
    r"[A-Za-z*_]+(?:[ \t]+\S+){3,}|.*:\W*$"
    r"|(?:step|part|case|solution|explanation|conclusion|(?:final )?answer)\b",
    re.IGNORECASE,
)
#: A last line that is a number, or ends with "= number".
_RESULT = re.compile(r"(?:\A|\n|= ?)[-$]{0,2}\d[\d,./]*\s*\Z")
#: Number of characters before a further question to check, and number of such questions.
_SHORT, _MAX_QUESTIONS = 60, 50
_GIVES_UP = re.compile(
    r"\banswer\s+(?:is\s+)?(?:unknown|undetermined|can(?:not|['’]t) be (?:determined|found|known))"
    r"|\bno answer\b|\bdo(?:n['’]t| not) know\b",
    re.IGNORECASE,
)
_NEXT_QUESTION = re.compile(
    r"\n[ \t]*(?:#+\s?)?(?:\*\*)?(?:question|problem|exercise|human|user|instruction|q)\b(?:\*\*)?"
    r"[ \t\d.]{0,20}[:：]|\n[ \t]*(?:user|human)[ \t]*\n|<\|im_start\|>user",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Extracted:
    """A text taken as the answer, and how it was marked."""

    text: str
    source: str
    several: str | None = None
    """The contents of all boxes, if several boxes form a list."""


def extract(text: str) -> Iterator[Extracted]:
    r"""Yield the candidate answers, most likely first.

    A tag or a box is the only candidate; without one there may be several.

    Args:
        text: A completion, after its thinking block.

    Example:
        >>> next(extract("So \\boxed{4}. Wait, no: \\boxed{3}")).text
        '3'
        >>> next(extract("The answer is **61** apples, out of 90.")).text
        '61'
        >>> [candidate.text for candidate in extract("Hm. 6 + 4 = 10")]
        ['10']
    """
    text = _without_end_tokens(text)
    text = before_next_question(text)
    tag = _last_tag(text)
    text = text if tag is None else tag
    yield from _marked_or_announced(text, tag is not None)
    if last_boxes(text) is None:
        yield from _on_last_line(without_denials(text[-_TAIL:]))


def marked_answers(text: str) -> Iterator[Extracted]:
    """Yield the texts that a completion marks or announces as its answer; see `extract`."""
    text = _without_end_tokens(text)
    text = before_next_question(text)
    tag = _last_tag(text)
    yield from _marked_or_announced(text if tag is None else tag, tag is not None)


def _without_end_tokens(text: str) -> str:
    text = text.rstrip()
    while match := _END_TOKEN.search(text, max(0, len(text) - 60)):
        text = text[: match.start()].rstrip()
    return text


def marked(text: str) -> str | None:
    r"""Return the answer in a tag or a box; None without either.

    Example:
        >>> marked(r"so \boxed{\frac{1}{2}}"), marked("<answer> 7 </answer>"), marked("7")
        ('\\frac{1}{2}', '7', None)
    """
    tag = _last_tag(text)
    boxes = last_boxes(text) if tag is None else [tag]
    return None if boxes is None else boxes[-1]


def _last_tag(text: str) -> str | None:
    match = None
    if "<" in text:
        for match in _ANSWER.finditer(text):  # noqa: B007 - the last one counts
            pass
    return None if match is None else match[1].strip()


def _marked_or_announced(text: str, is_tag: bool) -> Iterator[Extracted]:
    """Yield the content of a box, or else the texts after #### and cues."""
    boxes = last_boxes(text)
    if boxes is not None:
        if boxes[-1]:
            several = ", ".join(boxes) if len(boxes) > 1 else None
            yield Extracted(announced_in(boxes[-1]), TAG if is_tag else BOX, several)
        return
    if is_tag and text:
        yield Extracted(text, TAG)
    text = text[-_TAIL:]
    hashes = [match[1].strip() for match in _HASHES.finditer(text)]
    hashes = [answer for answer in hashes if not _HEADING.match(answer)]
    if hashes:
        yield Extracted(hashes[-1], HASHES)
    for segment in announced(text):
        yield Extracted(segment, CUE)
        run = first_run(segment)
        if run and run != segment:
            yield Extracted(run, CUE)


def _on_last_line(text: str) -> Iterator[Extracted]:
    if _GIVES_UP.search(text):
        return
    *_, last = text.strip().splitlines() or [""]
    last = BULLET.sub("", last)
    if _is_an_answer(last):
        yield Extracted(trimmed(last), LINE)
    line = last_expression(text)
    if line:
        yield Extracted(line, LINE)


def _is_an_answer(line: str) -> bool:
    """Return whether a line can be only an answer: short, without prose around a formula."""
    if not line.strip() or len(line.split()) > _FEW_WORDS or is_cut_off(line):
        return False
    if re.search(r"\bnot\b|n['’]t\b", line):
        return False
    if re.search(r"\d|\\[a-z]", line) and re.match(r"[A-Za-z]{2}", line):
        return False
    return MARKED.search(line) is None or not MARKED.sub("", line).strip(" .")


def _first_mark(text: str) -> int:
    """Return the position of the first mark of an answer; the end of the text without one."""
    positions = [first_box(text), text.find("####"), first_cue(text), text.find("</answer>")]
    return min((position for position in positions if position >= 0), default=len(text))


def before_next_question(text: str) -> str:
    """Cut off further questions that a base model writes after its answer."""
    first = None
    for question in islice(_NEXT_QUESTION.finditer(text), _MAX_QUESTIONS):
        if first is None:
            first = _first_mark(text)
        begin = question.start()
        if begin > first or _RESULT.search(text[max(0, begin - _SHORT) : begin]):
            return text[:begin]
    return text
