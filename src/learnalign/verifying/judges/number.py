"""One number, extracted from the answer and compared by value."""

import re
from fractions import Fraction

from learnalign.verifying.answers.cues import may_have_cue, without_denials
from learnalign.verifying.answers.equality import same
from learnalign.verifying.answers.expressions import constant
from learnalign.verifying.answers.expressions_in_text import first_run, last_expression
from learnalign.verifying.answers.extraction import (
    CUE,
    Extracted,
    before_next_question,
    marked_answers,
)
from learnalign.verifying.answers.notation import spelled
from learnalign.verifying.answers.numbers import MAGNITUDES, Number, read_number
from learnalign.verifying.answers.readings import readings
from learnalign.verifying.answers.times import Clock
from learnalign.verifying.answers.values import Items, Named, Region, Scalar, Words
from learnalign.verifying.guards import refusal
from learnalign.verifying.judgement import Judgement, judged, unparsed

#: What makes a number a part of an expression.
_WITHIN = re.compile(r"[\\^_√<>{}]\s?\Z|(?<![A-Za-z])[A-Za-z](?:\s?[-+*/]\s?|\()?\Z|\d:\Z")
_GOES_ON = re.compile(r"\s?[!^_}√*/\\]|:\d|[A-Za-z](?![A-Za-z])")
#: A last line that is a number, or ends with one behind an equals sign or a colon.
_PLAIN_END = re.compile(r"(?:\n|(?<![<>!=])= ?|: )(-?\d[\d,]*(?:\.\d+)?)\.?\s*\Z")
_COMMA = re.compile(r"[-+]?\d+,\d+")
#: So many characters at the end hold it.
_SHORT = 60
_MARKED = re.compile(r"[\\`]|####|\*\*|<(?:/?[a-zA-Z_]+>|\|)")
#: Digits with a hyphen between: the last number counts.
_DIFFERENCE = re.compile(r"\d+-\d+")
#: Where nothing marks the answer, it is looked for in so many characters at the end.
_TAIL = 8_000
_NUMBER = re.compile(
    r"[-+]?(?:\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+(?:\.\d+)?)?%?"
    rf"(?:\s*(?:{'|'.join(MAGNITUDES)})\b)?"
)


def parse_gold(gold: str) -> Scalar | None:
    r"""Read a gold that is one number, with or without a unit; None if it is anything else.

    Example:
        >>> [str(parse_gold(gold)) for gold in ("$1,234.50", "3/6", "9 (apples)", r"2\sqrt{4}")]
        ['2469/2 $', '1/2', '9', '4']
        >>> parse_gold("many"), parse_gold("3 of 4"), parse_gold("(1, 2)")
        (None, None, None)
    """
    if any(mark in gold for mark in ("\\boxed", "<answer>", "####")):
        gold = next((found.text for found in marked_answers(gold)), gold)
    return None if refusal(gold) else _scalar(gold)


def judge(gold: Scalar, completion: str) -> Judgement:
    r"""Compare the number that a completion answers; unmarked, the last one of its last line.

    Example:
        >>> judge(parse_gold("10"), "6 + 4 = 10.0").verdict, judge(parse_gold("10"), "ten").verdict
        ('correct', 'unparsed_answer')
        >>> judge(parse_gold("34"), r"\boxed{\frac34}").verdict
        'wrong'
    """
    completion = before_next_question(completion)
    answer = _at_the_end(completion)
    if answer is not None:
        return judged(same(gold, answer), str(answer), answer.text)
    first: Judgement | None = None
    for found in marked_answers(completion):
        refused = refusal(found.text)
        if refused is not None:
            return unparsed(f"too large to parse: {refused}", found.text)
        answer = _scalar(found.text) or _decimal_comma(found.text, gold) or _scalar_in(found)
        if answer is not None:
            return judged(same(gold, answer), str(answer), found.text)
        first = first or _not_one(found)
        if first is not None and first.verdict == "wrong":
            return first
    if first is not None:
        return first
    return _last(gold, completion)


def _at_the_end(completion: str) -> Scalar | None:
    """Return the plain number at the end of a plain text: a fast path for `_last`."""
    found = _PLAIN_END.search(f"\n{completion}"[-_SHORT:])
    if found is None or _MARKED.search(completion) or may_have_cue(completion):
        return None
    number = read_number(found[1])
    return None if number is None else Scalar(found[1], number)


def _last(gold: Scalar, completion: str) -> Judgement:
    """Judge by the last expression of the last line, or the last number in it."""
    run = last_expression(without_denials(completion[-_TAIL:]))
    if run is None:
        return unparsed()
    refused = refusal(run)
    if refused is not None:
        return unparsed(refused, run)
    answer = None if _DIFFERENCE.fullmatch(run) else _scalar(run)
    if answer is None:
        ways = readings(run)
        if ways and isinstance(ways[0], Items | Region):
            return judged(False, str(ways[0]), run)
        number = _last_number(run)
        answer = _scalar(number) if number else None
    return unparsed(None, run) if answer is None else judged(same(gold, answer), str(answer), run)


def _scalar(text: str) -> Scalar | None:
    """Read a text that is one number, or an expression that has a value."""
    plain = text.strip().rstrip(".")
    number = read_number(plain)
    if number is not None:
        return Scalar(plain, number)
    for reading in readings(text):
        inner = reading.value if isinstance(reading, Named) else reading
        if isinstance(inner, Clock) and inner.half and inner.minutes % 60 == inner.seconds == 0:
            return Scalar(text, Number(Fraction(inner.minutes // 60 or 12)))  # 9 a.m.
        if isinstance(inner, Scalar):
            if inner.number is not None:
                return inner
            number = constant(inner.text)
            if number is not None:
                return Scalar(inner.text, number, inner.unit)
    return None


def _decimal_comma(text: str, gold: Scalar) -> Scalar | None:
    """Read 12,5 where the gold is a decimal, too."""
    if gold.number is None or gold.number.digits is None or not _COMMA.fullmatch(text):
        return None
    return _scalar(text.replace(",", "."))


def _scalar_in(found: Extracted) -> Scalar | None:
    """Read the number of an answer in words."""
    ways = readings(found.text)
    if any(isinstance(way, Items | Region) for way in ways):
        return None
    if found.where != CUE and not any(isinstance(way, Words) for way in ways):
        return None
    run = first_run(found.text)
    return None if run is None else _scalar(run)


def _not_one(found: Extracted) -> Judgement | None:
    """Judge an answer that is no single number: wrong if it says something else."""
    ways = readings(found.text)
    if ways and isinstance(ways[0], Items | Region):
        return judged(False, str(ways[0]), found.text)
    if not ways or found.where == CUE:
        return None
    if all(isinstance(way, Words) for way in ways):
        return unparsed("no number", found.text)
    return judged(False, str(ways[0]), found.text)


def _last_number(text: str) -> str | None:
    """Take the last number that is no part of an expression."""
    for found in reversed(list(_NUMBER.finditer(spelled(text)))):
        line = found.string
        if _WITHIN.search(line[: found.start()]) or _GOES_ON.match(line, found.end()):
            continue
        return _without_subtraction(line, found)
    return None


def _without_subtraction(line: str, found: re.Match[str]) -> str:
    """Drop a sign after a number or a word: it subtracts, or is a hyphen."""
    digits, before = found.group(0), line[: found.start()]
    behind = before.rstrip()[-1:]
    if digits[0] in "+-" and (behind.isdigit() or behind in (")", "}") or before[-1:].isalpha()):
        return digits[1:]
    return digits
