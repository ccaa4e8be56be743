"""Exact text comparison."""

from learnalign.verifying.answers.extraction import marked
from learnalign.verifying.judgement import Judgement, judged, unparsed


def parse_gold(gold: str) -> str | None:
    """Read a gold text; only whitespace is normalized."""
    return " ".join(gold.split()) or None


def judge(gold: str, completion: str) -> Judgement:
    """Compare the marked answer, or else the whole completion, with the gold, exactly."""
    found = marked(completion)
    taken = completion if found is None else found
    text = " ".join(taken.split())
    return judged(text == gold, text, taken) if text else unparsed()
