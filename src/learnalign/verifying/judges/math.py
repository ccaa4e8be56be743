r"""Mathematical answers of every form: numbers, expressions, collections, words, times, choices."""

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
    """A gold answer that was read."""

    values: tuple[Value, ...]
    options: dict[str, str]
    """The texts of a multiple choice, by letter."""

    letter: str | None = None
    """Where the gold is a letter of a multiple choice and nothing else."""

    @property
    def is_wording(self) -> bool:
        """Whether it can be met by plain words."""
        return any(isinstance(value, Words | Choice) for value in self.values)

    @property
    def lengths(self) -> set[int]:
        """How many values its lists hold."""
        return {len(value.items) for value in self.values if isinstance(value, Items)}


def parse_gold(gold: str, question: Question) -> Gold | None:
    """Read a gold answer; one that marks its answer (a box, a tag, ####) is read there.

    Its expressions are evaluated: a gold that takes too long does so here, where it counts as one
    that cannot be read, and not in each completion, where it would look like wrong answers.

    Returns:
        What it says, in each way in which it can be meant; None if it says nothing.

    Raises:
        ValueError: if it is too large to be read.
    """
    text, several = gold.strip(), ""
    if any(mark in text for mark in _MARKS):
        found = next(extract(text), None)
        text, several = (found.text, found.several or "") if found else (text, "")
    refused = refusal(text)
    if refused is not None:
        raise ValueError(f"too large to parse: {refused}")
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
    """Compare what a completion answers with the gold.

    Args:
        gold: As `parse_gold` read it.
        completion: Text after the thinking.
    """
    if gold.letter is not None:
        return choice.judge(choice.Gold(gold.letter, gold.options), completion)
    first: Judgement | None = None
    for found in extract(completion):
        refused = refusal(found.text)
        if refused is not None:
            return unparsed(f"too large to parse: {refused}", found.text)
        values = _answers(found, gold)
        if not values:
            first = first or unparsed("not read", found.text)
            continue
        right = next((v for v in values if any(same(one, v) for one in gold.values)), None)
        return judged(right is not None, str(right or values[0]), found.text)
    return first or unparsed()


def _answers(found: Extracted, gold: Gold) -> Sequence[Value]:
    """Read an answer in each way; nothing if it is no answer to such a gold."""
    values = readings(found.text)
    if found.several is not None:
        several = readings(found.several)
        values += tuple(v for v in several if isinstance(v, Items) and len(v.items) in gold.lengths)
    values += _only_by_the_gold(spelled(trimmed(found.text)), gold)
    values += tuple(one for value in values for one in _in_one(value))
    for option in [value for value in values if isinstance(value, Choice)]:
        values += readings(option.text or "")
        if option.letter in gold.options:
            values += readings(gold.options[option.letter])
    if found.where == BOX or gold.is_wording:
        return values
    return [value for value in values if _is_mathematics(value)]


def _only_by_the_gold(text: str, gold: Gold) -> tuple[Value, ...]:
    """Read what only the gold can tell: 5m as metres, 2,74 as a decimal."""
    found = _LETTERED.fullmatch(text)
    if found and not any(re.search(r"[A-Za-z]", str(one)) for one in gold.values):
        return readings(f"{found[1]} {found[2]}")
    found = _DECIMAL_COMMA.fullmatch(text)
    has_decimal = any(isinstance(v, Scalar) and v.number and v.number.digits for v in gold.values)
    return readings(f"{found[1]}.{found[2]}") if found and has_decimal else ()


def _in_one(value: Value) -> tuple[Value, ...]:
    """Return the value that all of some alternatives are: 1/2 or 0.5."""
    if not isinstance(value, Items) or value.brackets != "{}" or len(value.items) < 2:
        return ()
    first, *others = value.items
    return (first,) if all(same(first, other) for other in others) else ()


def _is_mathematics(value: Value) -> bool:
    """Return whether a value makes sense as one: prose may look like a product of variables."""
    if isinstance(value, Words | Choice):
        return False
    if isinstance(value, Named):
        return _is_mathematics(value.value)
    if isinstance(value, Items):
        return all(_is_mathematics(item) for item in value.items)
    if isinstance(value, Scalar):
        return value.number is not None or expression(value.text) is not None
    return True
