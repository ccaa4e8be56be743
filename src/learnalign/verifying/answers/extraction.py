r"""Where in a completion the answer stands.

In this order: in the last ``<answer>``; in the last ``\boxed`` or ``\fbox``; behind the last
``####``; behind the last "the answer is" or "Answer:"; in the last expression of the last line
that has one. What was taken is kept with the verdict.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from learnalign.verifying.answers.boxes import has_box, last_boxes
from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.cues import has_cue, said_answers, said_in
from learnalign.verifying.answers.expressions_in_text import (
    MARKED,
    first_run,
    is_cut_off,
    last_expression,
)

TAG, BOX, HASHES, CUE, LINE = "answer tag", "box", "####", "cue", "last line"
#: A last line of so many words may be an answer and nothing else.
_FEW_WORDS = 5
#: Where no tag or box marks the answer, it is looked for in so many characters at the end.
_TAIL = 20_000
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]*([^\s#].*)")
#: What follows #### in a heading rather than in an answer.
_HEADING = re.compile(
    r"[A-Za-z*_]+(?:[ \t]+\S+){3,}|.*:\W*$"
    r"|(?:step|part|case|solution|explanation|conclusion|(?:final )?answer)\b",
    re.IGNORECASE,
)
_NEXT_QUESTION = re.compile(
    r"\n\s*(?:#+\s*)?(?:\*\*)?(?:question|problem|exercise|human|user|instruction|q)\b(?:\*\*)?"
    r"[\s\d.]*[:：]|\n\s*(?:user|human)\s*\n|<\|im_start\|>user",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Extracted:
    """A text that was taken for the answer, and what it stood in or behind."""

    text: str
    where: str
    several: str | None = None
    """Where boxes follow each other as a list does: all of them."""


def extract(text: str) -> Iterator[Extracted]:
    r"""Give the texts that may be the answer, the likeliest first.

    A tag or a box is the only candidate; without one there may be several.

    Args:
        text: A completion, after its thinking.

    Example:
        >>> next(extract("So \\boxed{4}. Wait, no: \\boxed{3}")).text
        '3'
        >>> next(extract("The answer is **61** apples, out of 90.")).text
        '61'
        >>> [one.text for one in extract("Hm. 6 + 4 = 10")]
        ['10']
    """
    tags = [found[1].strip() for found in _ANSWER.finditer(text)]
    if tags:
        yield from _tagged(tags[-1])
        return
    text = _before_next_question(text)
    boxes = last_boxes(text)
    if boxes is None:
        yield from _unmarked(text[-_TAIL:])
    elif boxes[-1]:
        yield _boxed(boxes, BOX)


def marked(text: str) -> str | None:
    r"""Give what a tag or a box marks as the answer; None if there is neither.

    Example:
        >>> marked(r"so \boxed{\frac{1}{2}}"), marked("<answer> 7 </answer>"), marked("7")
        ('\\frac{1}{2}', '7', None)
    """
    tags = [found[1].strip() for found in _ANSWER.finditer(text)]
    if tags:
        return tags[-1]
    boxes = last_boxes(text)
    return None if boxes is None else boxes[-1]


def _tagged(content: str) -> Iterator[Extracted]:
    boxes = last_boxes(content)
    if boxes is not None:
        yield _boxed(boxes, TAG)
    elif content:
        yield Extracted(content, TAG)
        yield from _unmarked(content[-_TAIL:])


def _boxed(boxes: list[str], where: str) -> Extracted:
    return Extracted(said_in(boxes[-1]), where, ", ".join(boxes) if len(boxes) > 1 else None)


def _unmarked(text: str) -> Iterator[Extracted]:
    hashes = [found[1].strip() for found in _HASHES.finditer(text)]
    hashes = [found for found in hashes if not _HEADING.match(found)]
    if hashes:
        yield Extracted(hashes[-1], HASHES)
    for segment in said_answers(text):
        yield Extracted(segment, CUE)
        run = first_run(segment)
        if run and run != segment:
            yield Extracted(run, CUE)
    *_, last = text.strip().splitlines() or [""]
    if _is_an_answer(last):
        yield Extracted(trimmed(last), LINE)
    line = last_expression(text)
    if line:
        yield Extracted(line, LINE)


def _is_an_answer(line: str) -> bool:
    """Whether a line may be an answer and nothing else: short, with no prose around a formula."""
    if not line.strip() or len(line.split()) > _FEW_WORDS or is_cut_off(line):
        return False
    if re.search(r"\d|\\[a-z]", line) and re.match(r"[A-Za-z]{2}", line):
        return False
    return MARKED.search(line) is None or not MARKED.sub("", line).strip(" .")


def _before_next_question(text: str) -> str:
    """Cut where a base model goes on with a question of its own after it has answered."""
    for found in _NEXT_QUESTION.finditer(text):
        before = text[: found.start()]
        if has_box(before) or "####" in before or has_cue(before):
            return before
    return text
