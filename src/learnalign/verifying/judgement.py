"""What a verifier says of one completion, and where in a completion the answer stands."""

import re
from dataclasses import dataclass

_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Judgement:
    """One of the verdicts of `learnalign.tables.VERDICT_KINDS`, with its reward."""

    verdict: str
    reward: float | None
    parsed_answer: str | None = None
    detail: str | None = None


CORRECT, WRONG = "correct", "wrong"


def judged(right: bool, parsed_answer: str) -> Judgement:
    """Give the judgement of a right or wrong answer."""
    return Judgement(CORRECT if right else WRONG, float(right), parsed_answer)


def unparsed() -> Judgement:
    """Give the judgement of a completion that holds no answer."""
    return Judgement("unparsed_answer", 0.0)


def marked_answer(completion: str) -> str | None:
    r"""Read the answer that a completion marks: the last <answer> tag, else the last \boxed.

    Example:
        >>> marked_answer(r"so \boxed{\frac{1}{2}}"), marked_answer("<answer> 7 </answer>")
        ('\\frac{1}{2}', '7')
    """
    tags = _TAG.findall(completion)
    if tags:
        return str(tags[-1]).strip()
    start = completion.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth = 1
    for place in range(start, len(completion)):
        depth += {"{": 1, "}": -1}.get(completion[place], 0)
        if depth == 0:
            return completion[start:place].strip()
    return None
