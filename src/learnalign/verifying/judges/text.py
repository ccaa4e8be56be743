"""Exact text comparison."""

from learnalign.verifying.answers.extraction import marked
from learnalign.verifying.judgement import Judgement, judged, unparsed


def parse_gold(gold: str) -> str | None:
    """Parse a gold text; only whitespace is normalized."""
    return " ".join(gold.split()) or None


def judge(gold: str, completion: str) -> Judgement:
    """Compare the marked answer, or the whole completion without one, exactly with the gold."""
    answer = marked(completion)
    extracted = completion if answer is None else answer
    text = " ".join(extracted.split())
    return judged(text == gold, text, extracted) if text else unparsed()
