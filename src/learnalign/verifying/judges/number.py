"""A single number, extracted from the answer and compared by value."""

import re
from fractions import Fraction

from learnalign.verifying.answers.algebra import constant
from learnalign.verifying.answers.cues import may_have_cue, without_denials
from learnalign.verifying.answers.equality import same
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

#: Context that makes a number part of an expression.
_WITHIN = re.compile(r"[\\^_√<>{}]\s?\Z|(?<![A-Za-z])[A-Za-z](?:\s?[-+*/]\s?|\()?\Z|\d:\Z")
_CONTINUES = re.compile(r"\s?[!^_}√*/\\]|:\d|[A-Za-z](?![A-Za-z])")
#: A last line that is a number, or ends with a number after an equals sign or a colon.
_PLAIN_END = re.compile(r"(?:\n|(?<![<>!=])= ?|: )(-?\d[\d,]*(?:\.\d+)?)\.?\s*\Z")
_COMMA = re.compile(r"[-+]?\d+,\d+")
#: Number of characters at the end to search for it.
_SHORT = 60
_MARKED = re.compile(r"[\\`]|####|\*\*|<(?:/?[a-zA-Z_]+>|\|)")
#: Two numbers with a hyphen between them: the last one counts.
_DIFFERENCE = re.compile(r"\d+-\d+")
#: Number of characters at the end to search for an unmarked answer.
_TAIL = 8_000
_NUMBER = re.compile(
    r"[-+]?(?:\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+(?:\.\d+)?)?%?"
    rf"(?:\s*(?:{'|'.join(MAGNITUDES)})\b)?"
)


def parse_gold(gold: str) -> Scalar | None:
    r"""Parse a gold that is a single number, with or without a unit; None for anything else.

    Example:
        >>> [str(parse_gold(gold)) for gold in ("$1,234.50", "3/6", "9 (apples)", r"2\sqrt{4}")]
        ['2469/2 $', '1/2', '9', '4']
        >>> parse_gold("many"), parse_gold("3 of 4"), parse_gold("(1, 2)")
        (None, None, None)
    """
    if any(mark in gold for mark in ("\\boxed", "<answer>", "####")):
        gold = next((candidate.text for candidate in marked_answers(gold)), gold)
    return None if refusal(gold) else _scalar(gold)


def judge(gold: Scalar, completion: str) -> Judgement:
    r"""Compare the number of the answer; if unmarked, the last number of the last line.

    Example:
        >>> judge(parse_gold("10"), "6 + 4 = 10.0").verdict, judge(parse_gold("10"), "ten").verdict
        ('correct', 'unparsed_answer')
        >>> judge(parse_gold("34"), r"\boxed{\frac34}").verdict
        'wrong'
    """
    completion = before_next_question(completion)
    answer = _plain_end(completion)
    if answer is not None:
        return judged(same(gold, answer), str(answer), answer.text)
    first: Judgement | None = None
    for candidate in marked_answers(completion):
        text, reason = candidate.text, refusal(candidate.text)
        if reason is not None:
            return unparsed(f"too large to parse: {reason}", text)
        answer = _scalar(text) or _decimal_comma(text, gold) or _scalar_in(candidate)
        if answer is not None:
            return judged(same(gold, answer), str(answer), text)
        first = first or _not_a_number(candidate)
        if first is not None and first.verdict == "wrong":
            return first
    if first is not None:
        return first
    return _last(gold, completion)


def _plain_end(completion: str) -> Scalar | None:
    """Return the number at the end of a plain text: a fast path for `_last`."""
    match = _PLAIN_END.search(f"\n{completion}"[-_SHORT:])
    if match is None or _MARKED.search(completion) or may_have_cue(completion):
        return None
    number = read_number(match[1])
    return None if number is None else Scalar(match[1], number)


def _last(gold: Scalar, completion: str) -> Judgement:
    """Judge the last expression of the last line, or the last number in it."""
    run = last_expression(without_denials(completion[-_TAIL:]))
    if run is None:
        return unparsed()
    reason = refusal(run)
    if reason is not None:
        return unparsed(reason, run)
    answer = None if _DIFFERENCE.fullmatch(run) else _scalar(run)
    if answer is None:
        values = readings(run)
        if values and isinstance(values[0], Items | Region):
            return judged(False, str(values[0]), run)
        number = _last_number(run)
        answer = _scalar(number) if number else None
    return unparsed(None, run) if answer is None else judged(same(gold, answer), str(answer), run)


def _scalar(text: str) -> Scalar | None:
    """Parse a text that is a number, or an expression with a value."""
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
    """Parse 12,5 as a decimal if the gold is a decimal too."""
    if gold.number is None or gold.number.digits is None or not _COMMA.fullmatch(text):
        return None
    return _scalar(text.replace(",", "."))


def _scalar_in(candidate: Extracted) -> Scalar | None:
    """Parse the number in an answer with words."""
    values = readings(candidate.text)
    if any(isinstance(value, Items | Region) for value in values):
        return None
    if candidate.source != CUE and not any(isinstance(value, Words) for value in values):
        return None
    run = first_run(candidate.text)
    return None if run is None else _scalar(run)


def _not_a_number(candidate: Extracted) -> Judgement | None:
    """Judge an answer that is not a single number: wrong if it has another meaning."""
    values = readings(candidate.text)
    if values and isinstance(values[0], Items | Region):
        return judged(False, str(values[0]), candidate.text)
    if not values or candidate.source == CUE:
        return None
    if all(isinstance(value, Words) for value in values):
        return unparsed("no number", candidate.text)
    return judged(False, str(values[0]), candidate.text)


def _last_number(text: str) -> str | None:
    """Return the last number that is not part of an expression."""
    for match in reversed(list(_NUMBER.finditer(spelled(text)))):
        line = match.string
        if _WITHIN.search(line[: match.start()]) or _CONTINUES.match(line, match.end()):
            continue
        return _without_subtraction(line, match)
    return None


def _without_subtraction(line: str, match: re.Match[str]) -> str:
    """Drop a sign after a number or a word: it is a subtraction or a hyphen."""
    digits, before = match.group(0), line[: match.start()]
    last = before.rstrip()[-1:]
    if digits[0] in "+-" and (last.isdigit() or last in (")", "}") or before[-1:].isalpha()):
        return digits[1:]
    return digits
