"""Comparing a parsed answer with a parsed gold."""

import re

from learnalign.verifying.answers.algebra import constant, expression, same_expression
from learnalign.verifying.answers.numbers import Number, same_number
from learnalign.verifying.answers.times import Clock, Date, same_time
from learnalign.verifying.answers.unit_names import PERCENT
from learnalign.verifying.answers.units import same_unit
from learnalign.verifying.answers.values import (
    COUNTED,
    Based,
    Choice,
    Formula,
    Interval,
    Items,
    Named,
    Region,
    Scalar,
    Value,
    Words,
    as_region,
)

_ANGLE = re.compile(r"\\angle\s*\{?([A-Z]{3})\}?")
_ARTICLES = re.compile(r"^(?:the|an?|on|it is|it's)\s+")
_TRUTH = ("yes", "no", "true", "false")
#: One of these words, optionally with a reason, but without a condition or alternative.
_TRUE_OR_NOT = re.compile(
    r"(yes|no|true|false)"
    r"(?:\s*[,.;:!]\s*(?!.*\b(?:or|depend\w*|only if|but)\b).*|\s+(?:because|since|as)\b.*)?",
    re.DOTALL,
)


def same(gold: Value, answer: Value) -> bool:
    """Return whether an answer equals the gold.

    A name (``x =``), a unit, a base and an option's text are optional, but must agree if both have
    them. Order matters in brackets, but not in a bare list or a set.
    """
    if isinstance(gold, Named) or isinstance(answer, Named):
        return _same_named(gold, answer)
    if isinstance(gold, Formula) and isinstance(answer, Formula):
        return _same_formula(gold, answer)
    if isinstance(gold, Scalar) and isinstance(answer, Scalar):
        return _same_scalar(gold, answer)
    if isinstance(gold, Based) or isinstance(answer, Based):
        return _same_based(gold, answer)
    if isinstance(gold, Region) or isinstance(answer, Region):
        return _same_region(gold, answer)
    if isinstance(gold, Items) or isinstance(answer, Items):
        return _same_items(gold, answer)
    if isinstance(gold, Choice) and isinstance(answer, Choice):
        return gold.letter == answer.letter
    if isinstance(gold, Clock | Date) and isinstance(answer, Clock | Date):
        return same_time(gold, answer)
    if isinstance(gold, Clock | Scalar) and isinstance(answer, Clock | Scalar):
        return _same_hour(gold, answer)
    if isinstance(gold, Words | Scalar) and isinstance(answer, Words | Scalar):
        return same_words(gold.text, answer.text)
    return False


def _same_named(gold: Value, answer: Value) -> bool:
    if not isinstance(gold, Named):
        return isinstance(answer, Named) and same(gold, answer.value)
    if isinstance(answer, Named):
        return _same_name(gold.name, answer.name) and same(gold.value, answer.value)
    # A bare value does not answer an equation with several unknowns.
    return not re.search(r"[-+*^]", gold.name) and same(gold.value, answer)


def evaluate(value: Value) -> None:
    """Parse and evaluate the expressions in a value, which fills the caches."""
    if isinstance(value, Named):
        evaluate(value.value)
    elif isinstance(value, Items):
        for item in value.items:
            evaluate(item)
    elif isinstance(value, Formula):
        expression(value.text)
    elif isinstance(value, Scalar) and value.number is None:
        constant(value.text)


def same_words(gold: str, answer: str) -> bool:
    """Compare words, ignoring case, punctuation, quotes and a leading article.

    If the gold is yes, no, true or false, the answer may continue after that word.

    Example:
        >>> same_words("no", "No."), same_words("Tuesday", "on tuesday"), same_words("yes", "no")
        (True, True, False)
        >>> same_words("yes", "Yes, since 7 is prime"), same_words("red car", "red")
        (True, False)
    """
    first, second = _folded(gold), _folded(answer)
    if first in _TRUTH:
        match = _TRUE_OR_NOT.fullmatch(second)
        return match is not None and match[1] == first
    return bool(first) and first == second


def _folded(text: str) -> str:
    text = " ".join(re.sub(r"[\"'`*“”]", "", text).casefold().split()).strip(" .,;:!?")
    return _ARTICLES.sub("", text)


def _same_hour(gold: Clock | Scalar, answer: Clock | Scalar) -> bool:
    """Compare a full hour with a bare number: 9 a.m. equals 9."""
    clock, number = (gold, answer) if isinstance(gold, Clock) else (answer, gold)
    if not isinstance(clock, Clock) or not isinstance(number, Scalar):
        return False
    if number.number is None or number.unit is not None:
        return False
    return clock.minutes % 60 == clock.seconds == 0 and number.number.value == (
        clock.minutes // 60 or 12
    )


def _same_formula(gold: Formula, answer: Formula) -> bool:
    """Compare relations as formulas, unless both have another reading to compare."""
    if "".join(gold.text.split()) == "".join(answer.text.split()):
        return True
    return not (gold.is_understood and answer.is_understood) and same_expression(
        gold.text, answer.text
    )


def _same_scalar(gold: Scalar, answer: Scalar) -> bool:
    if PERCENT in (gold.unit, answer.unit) and gold.unit != answer.unit:
        return _same_percentage(gold, answer)
    if gold.unit and answer.unit and not same_unit(gold.unit, answer.unit):
        return False
    if gold.number is not None and answer.number is not None:
        return same_number(gold.number, answer.number)
    if "".join(gold.text.split()) == "".join(answer.text.split()):
        return True
    if "\\angle" in gold.text + answer.text:
        one, other = (_ANGLE.fullmatch(side.text) for side in (gold, answer))
        return bool(one and other and one[1] == other[1][::-1])
    if gold.number is not None or answer.number is not None:
        first, second = gold.number or constant(gold.text), answer.number or constant(answer.text)
        return first is not None and second is not None and same_number(first, second)
    return same_expression(gold.text, answer.text)


def _same_percentage(gold: Scalar, answer: Scalar) -> bool:
    """Compare a percentage with a plain number: 45 % equals 0.45 and, if at least 1 %, also 45."""
    percentage, other = (gold, answer) if gold.unit == PERCENT else (answer, gold)
    if other.unit is not None:
        return False
    percent, plain = (
        percentage.number or constant(percentage.text),
        other.number or constant(other.text),
    )
    if percent is None or plain is None:
        return False
    share = Number(percent.value / 100, percent.digits)
    return same_number(share, plain) or (abs(percent.value) >= 1 and same_number(percent, plain))


def _same_based(gold: Value, answer: Value) -> bool:
    """Compare numbers in a base: same digits, and no different base."""
    if isinstance(gold, Based) and isinstance(answer, Based):
        return gold == answer
    based, other = (gold, answer) if isinstance(gold, Based) else (answer, gold)
    assert isinstance(based, Based)
    return isinstance(other, Scalar) and other.text.upper().lstrip("0") == based.digits


def _same_name(gold: str, answer: str) -> bool:
    """Compare names; a word such as Area matches any name, and x matches x_1.

    Names of counted things (`COUNTED`) are compared as words.
    """
    if gold.startswith(COUNTED) and answer.startswith(COUNTED):
        return gold.rstrip("s") == answer.rstrip("s")
    if gold.casefold() == answer.casefold():
        return True
    bare = [re.sub(r"_\{?\d\}?$", "", name) for name in (gold, answer)]
    if bare[0] == bare[1] and bare != [gold, answer] and (gold in bare or answer in bare):
        return True
    return any(
        re.fullmatch(rf"(?=.*[aeiou])[A-Z]?[a-z]{{3,}}|{COUNTED}.*", name)
        for name in (gold, answer)
    )


def _same_items(gold: Value, answer: Value) -> bool:
    if not isinstance(gold, Items):
        gold = Items((gold,))
    if not isinstance(answer, Items):
        answer = Items((answer,))
    if len(gold.items) != len(answer.items):
        gold, answer = _without_repeats(gold), _without_repeats(answer)
    if len(gold.items) != len(answer.items) or not _brackets_agree(gold, answer):
        return False
    if _has_distinct_names(gold) != _has_distinct_names(answer):
        return all(same(one, other) for one, other in zip(gold.items, answer.items, strict=True))
    if "" in (gold.brackets, answer.brackets) and {gold.brackets, answer.brackets} <= {"", "{}"}:
        return _same_in_any_order(gold.items, answer.items)
    if gold.brackets == answer.brackets == "::":
        return _same_ratio(gold, answer)
    if gold.brackets == answer.brackets == "{}":
        return _same_in_any_order(gold.items, answer.items)
    return all(same(one, other) for one, other in zip(gold.items, answer.items, strict=True))


def _has_distinct_names(items: Items) -> bool:
    """Return whether all items have different names; a list without names is in their order."""
    names = [item.name for item in items.items if isinstance(item, Named)]
    return len(names) == len(items.items) == len(set(names)) > 1


def _same_ratio(gold: Items, answer: Items) -> bool:
    """Return whether two ratios of several numbers are proportional."""
    sides = []
    for ratio in (gold, answer):
        numbers = [item.number for item in ratio.items if isinstance(item, Scalar) and item.number]
        if len(numbers) != len(ratio.items) or numbers[0].value == 0:
            return gold == answer
        sides.append([number.value / numbers[0].value for number in numbers])
    return sides[0] == sides[1]


def _without_repeats(items: Items) -> Items:
    """Remove repeated pairs and tuples from a bare list or a set."""
    if items.brackets not in ("", "{}") or not all(isinstance(i, Items) for i in items.items):
        return items
    return Items(tuple(dict.fromkeys(items.items)), items.brackets)


def _brackets_agree(gold: Items, answer: Items) -> bool:
    """Return whether brackets can have the same meaning; a bare list has none."""
    kinds = {gold.brackets, answer.brackets}
    if len(kinds) == 1:
        return True
    if "" in kinds:
        return not kinds & {"[)", "(]", "::"} and not ("[]" in kinds and len(gold.items) == 2)
    if "{}" in kinds:
        return False
    return "matrix" in kinds or len(gold.items) != 2


def _same_in_any_order(gold: tuple[Value, ...], answer: tuple[Value, ...]) -> bool:
    unmatched = list(answer)
    for item in gold:
        index = next((i for i, other in enumerate(unmatched) if same(item, other)), None)
        if index is None:
            return False
        del unmatched[index]
    return True


def _same_region(gold: Value, answer: Value) -> bool:
    first = as_region(gold) if isinstance(gold, Items) else gold
    second = as_region(answer) if isinstance(answer, Items) else answer
    if not isinstance(first, Region) or not isinstance(second, Region):
        return False
    if first.name and second.name and first.name != second.name:
        return False
    if len(first.intervals) != len(second.intervals):
        return False
    unmatched = list(second.intervals)
    for interval in first.intervals:
        matches = (i for i, other in enumerate(unmatched) if _same_interval(interval, other))
        index = next(matches, None)
        if index is None:
            return False
        del unmatched[index]
    return True


def _same_interval(gold: Interval, answer: Interval) -> bool:
    return _same_end(gold.low, gold.has_low, answer.low, answer.has_low) and _same_end(
        gold.high, gold.has_high, answer.high, answer.has_high
    )


def _same_end(gold: Scalar, has_gold: bool, answer: Scalar, has_answer: bool) -> bool:
    return (has_gold == has_answer or "infty" in gold.text) and _same_scalar(gold, answer)
