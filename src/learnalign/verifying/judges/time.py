"""Times of day and dates."""

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.extraction import extract
from learnalign.verifying.answers.notation import spelled, without_wording
from learnalign.verifying.answers.times import Clock, Date, read_time, same_time
from learnalign.verifying.guards import MAX_CHARACTERS
from learnalign.verifying.judgement import Judgement, judged, unparsed


def parse_gold(gold: str) -> Clock | Date | None:
    """Parse a gold that is a time of day or a date.

    Example:
        >>> str(parse_gold("2:30 p.m.")), parse_gold("12")
        ('2:30 pm', None)
    """
    return _read(gold)


def judge(gold: Clock | Date, completion: str) -> Judgement:
    """Compare the time in the answer with the gold.

    Example:
        >>> judge(parse_gold("2:30 pm"), "The answer is 14:30.").verdict
        'correct'
        >>> judge(parse_gold("2:30 pm"), "It ends at 2:30 a.m.").verdict
        'wrong'
    """
    first = None
    for candidate in extract(completion):
        if len(candidate.text) > MAX_CHARACTERS:
            continue
        first = first or candidate.text
        value = _read(candidate.text)
        if value is not None:
            return judged(same_time(gold, value), str(value), candidate.text)
    return unparsed(None, first)


def _read(text: str) -> Clock | Date | None:
    return read_time(" ".join(without_wording(spelled(trimmed(text))).split()))
