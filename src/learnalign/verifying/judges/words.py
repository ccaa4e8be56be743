"""Answers in words: yes and no, true and false, names, weekdays."""

import re

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.equality import same_words
from learnalign.verifying.answers.extraction import LINE, extract
from learnalign.verifying.answers.notation import without_wording
from learnalign.verifying.guards import MAX_CHARACTERS
from learnalign.verifying.judgement import Judgement, judged, unparsed

_TRUTHS = ("yes", "no", "true", "false")
_AT_THE_END = re.compile(r"\b(?:yes|no|true|false)\W*\Z", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_TRUTH = re.compile(r"\b(yes|no|true|false)\b", re.IGNORECASE)
#: Maximum characters of the last line to search, and words of a line that is only an answer.
_LINE_CHARACTERS, _FEW_WORDS = 500, 5


def parse_gold(gold: str) -> str | None:
    r"""Parse a gold in words; None if it is empty.

    Example:
        >>> parse_gold(r"\text{Tuesday}"), parse_gold(" ")
        ('Tuesday', None)
    """
    return _plain(gold) or None


def judge(gold: str, completion: str) -> Judgement:
    r"""Compare the words of the answer; case, punctuation and articles are ignored.

    Example:
        >>> judge("no", "\\boxed{\\text{No.}}").verdict, judge("yes", "The answer is no.").verdict
        ('correct', 'wrong')
    """
    first: Judgement | None = None
    for candidate in extract(completion):
        words = _plain(candidate.text)
        if not words or len(candidate.text) > MAX_CHARACTERS:
            continue
        if candidate.source == LINE:
            break
        if same_words(gold, words):
            return judged(True, words, candidate.text)
        first = first or judged(False, words, candidate.text)
    return first or _in_prose(gold, completion)


def _in_prose(gold: str, completion: str) -> Judgement:
    """Judge the last line: text in bold, after a colon or after "is", or the whole line."""
    *_, line = completion.strip().splitlines() or [""]
    line = line[-_LINE_CHARACTERS:]
    candidates = [*_BOLD.findall(line)[-1:], line.rpartition(":")[2], _last_words(line), line]
    candidates = [_plain(text) for text in candidates]
    truths = _TRUTH.findall(line)
    if gold.casefold() in _TRUTHS and truths:
        first = line.strip(" *_").casefold().startswith(truths[0].casefold())
        truth = truths[0] if first else truths[-1]
        if first or _AT_THE_END.search(line) or len({truth.casefold() for truth in truths}) == 1:
            return judged(truth.casefold() == gold.casefold(), truth, line)
    correct = next((text for text in candidates if text and same_words(gold, text)), None)
    if correct is not None:
        return judged(True, correct, line)
    if len(line.split()) > _FEW_WORDS or not re.search(r"[^\W\d_]{2,}", line):
        return unparsed(None, line or None)
    return judged(False, candidates[-1], line)


def _last_words(text: str) -> str:
    """Return the predicate of a short sentence: "Paris" in "The capital is Paris"."""
    return re.split(r"[,;]", re.split(r"\b(?:is|are|was|were|be)\b", text)[-1])[0]


def _plain(text: str) -> str:
    return trimmed(" ".join(without_wording(trimmed(text)).split()))
