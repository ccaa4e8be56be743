"""Answers in words: yes and no, true and false, names, weekdays."""

import re

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.equality import same_words
from learnalign.verifying.answers.extraction import LINE, extract
from learnalign.verifying.answers.notation import without_wording
from learnalign.verifying.guards import MAX_CHARACTERS
from learnalign.verifying.judgement import Judgement, judged, unparsed


def parse_gold(gold: str) -> str | None:
    r"""Take a gold in words; None if there is nothing in it.

    Example:
        >>> parse_gold(r"\text{Tuesday}"), parse_gold(" ")
        ('Tuesday', None)
    """
    return _plain(gold) or None


def judge(gold: str, completion: str) -> Judgement:
    r"""Compare the words where the answer stands; case, stops and articles do not matter.

    Example:
        >>> judge("no", "\\boxed{\\text{No.}}").verdict, judge("yes", "The answer is no.").verdict
        ('correct', 'wrong')
    """
    first: Judgement | None = None
    for found in extract(completion):
        if len(found.text) > MAX_CHARACTERS:
            continue
        said = _plain(found.text)
        if not said:
            continue
        if same_words(gold, said) or (found.where == LINE and same_words(gold, _last_words(said))):
            return judged(True, said, found.text)
        first = first or judged(False, said, found.text)
    return first or unparsed()


def _last_words(text: str) -> str:
    """Take what a short sentence says of something: "The capital is Paris"."""
    return re.split(r"\b(?:is|are|was|were|be)\b", text)[-1]


def _plain(text: str) -> str:
    return trimmed(" ".join(without_wording(trimmed(text)).split()))
