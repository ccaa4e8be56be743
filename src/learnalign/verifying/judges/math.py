r"""Mathematical answers of any form: numbers, expressions, collections, words, times, choices."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from learnalign.verifying.answers.brackets import trimmed
from learnalign.verifying.answers.equality import evaluate, same
from learnalign.verifying.answers.expressions import expression
from learnalign.verifying.answers.extraction import BOX, Extracted, extract
from learnalign.verifying.answers.notation import spelled
from learnalign.verifying.answers.options import options_in
from learnalign.verifying.answers.readings import readings
from learnalign.verifying.answers.values import Choice, Items, Named, Scalar, Value, Words
from learnalign.verifying.guards import refusal
from learnalign.verifying.judgement import Judgement, judged, unparsed
from learnalign.verifying.judges import choice
from learnalign.verifying.question import Question

_LETTERED = re.compile(r"([-+\d.,\s]*\d)([A-Za-z]{1,2}(?:\^\{?[23]\}?)?)")
_DECIMAL_COMMA = re.compile(r"([-+]?\d+),(\d+(?: ?[$€£%])?)")
_MARKS = ("\\boxed", "\\fbox", "<answer>", "####")


@dataclass(frozen=True)
class Gold:
    """A parsed gold answer."""

    values: tuple[Value, ...]
    options: dict[str, str]
    """Texts of multiple-choice options, by letter."""

    letter: str | None = None
    """The letter, if the gold is only the letter of an option."""

    @property
    def is_wording(self) -> bool:
        """Whether plain words can match it."""
        return any(isinstance(value, Words | Choice) for value in self.values)

    @property
    def lengths(self) -> set[int]:
        """The lengths of its lists."""
        return {len(value.items) for value in self.values if isinstance(value, Items)}


def parse_gold(gold: str, question: Question) -> Gold | None:
    """Parse a gold answer; if it has a marked answer (a box, a tag, ####), only that part.

    Its expressions are evaluated here, so that a gold that takes too long counts as an unparsed
    gold. Otherwise it would time out in each completion, which would look like wrong answers.

    Returns:
        All plausible interpretations; None if there is no answer.

    Raises:
        ValueError: if it is too large to parse.
    """
    text, several = gold.strip(), ""
    if any(mark in text for mark in _MARKS):
        candidate = next(extract(text), None)
        text, several = (candidate.text, candidate.several or "") if candidate else (text, "")
    reason = refusal(text)
    if reason is not None:
        raise ValueError(f"too large to parse: {reason}")
    values = readings(text) + readings(several)
    options = options_in(question.prompt)
    for option in [value for value in values if isinstance(value, Choice)]:
        values += readings(option.text or options.get(option.letter, ""))
    for value in values:
        evaluate(value)
    letters = [value.letter for value in values if isinstance(value, Choice) and not value.text]
    letter = letters[0] if letters else None
    return Gold(tuple(dict.fromkeys(values)), options, letter) if values else None


def judge(gold: Gold, completion: str) -> Judgement:
    """Compare a completion's answer with the gold.

    Args:
        gold: The result of `parse_gold`.
        completion: The text after the thinking block.
    """
    if gold.letter is not None:
        return choice.judge(choice.Gold(gold.letter, gold.options), completion)
    first: Judgement | None = None
    for candidate in extract(completion):
        reason = refusal(candidate.text)
        if reason is not None:
            return unparsed(f"too large to parse: {reason}", candidate.text)
        values = _answers(candidate, gold)
        if not values:
            first = first or unparsed("cannot be parsed", candidate.text)
            continue
        correct = next((v for v in values if any(same(g, v) for g in gold.values)), None)
        return judged(correct is not None, str(correct or values[0]), candidate.text)
    return first or unparsed()


def _answers(candidate: Extracted, gold: Gold) -> Sequence[Value]:
    """Parse an answer in all plausible ways; empty if it cannot answer such a gold."""
    values = readings(candidate.text)
    if candidate.several is not None:
        several = readings(candidate.several)
        values += tuple(v for v in several if isinstance(v, Items) and len(v.items) in gold.lengths)
    values += _gold_dependent(spelled(trimmed(candidate.text)), gold)
    values += tuple(single for value in values for single in _common_value(value))
    for option in [value for value in values if isinstance(value, Choice)]:
        values += readings(option.text or "")
        if option.letter in gold.options:
            values += readings(gold.options[option.letter])
    if candidate.source == BOX or gold.is_wording:
        return values
    return [value for value in values if _is_mathematics(value)]


def _gold_dependent(text: str, gold: Gold) -> tuple[Value, ...]:
    """Parse text whose meaning depends on the gold: 5m as metres, 2,74 as a decimal."""
    match = _LETTERED.fullmatch(text)
    if match and not any(re.search(r"[A-Za-z]", str(value)) for value in gold.values):
        return readings(f"{match[1]} {match[2]}")
    match = _DECIMAL_COMMA.fullmatch(text)
    has_decimal = any(isinstance(v, Scalar) and v.number and v.number.digits for v in gold.values)
    return readings(f"{match[1]}.{match[2]}") if match and has_decimal else ()


def _common_value(value: Value) -> tuple[Value, ...]:
    """Return the common value of alternatives that are all equal: 1/2 or 0.5."""
    if not isinstance(value, Items) or value.brackets != "{}" or len(value.items) < 2:
        return ()
    first, *others = value.items
    return (first,) if all(same(first, other) for other in others) else ()


def _is_mathematics(value: Value) -> bool:
    """Return whether a value is really mathematical: prose may look like a product of variables."""
    if isinstance(value, Words | Choice):
        return False
    if isinstance(value, Named):
        return _is_mathematics(value.value)
    if isinstance(value, Items):
        return all(_is_mathematics(item) for item in value.items)
    if isinstance(value, Scalar):
        return value.number is not None or expression(value.text) is not None
    return True
