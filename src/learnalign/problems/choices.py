"""Multiple choice: options in separate columns, and answers that refer to them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.golds import AnswerForm
from learnalign.problems.nested import empty, parsed

Options = list[tuple[str, str]]
_NAMES = ("choices", "options", "answer_choices", "answer_options", "endings")
#: Columns with one option each: ``option_a``, ``opb``, ``Choice 1``, or ``A``, ``B``, ``C``.
_ONE_EACH = re.compile(r"(?:(option|choice|opt|op)[ _-]?)?([a-j]|\d)", re.IGNORECASE)
_LABELLED = re.compile(r"\(?([A-Z])\s*[).:]\s*(.*)", re.DOTALL)
#: Share of the rows that an interpretation of the answers must fit.
_FITS = 0.9


def options_of(content: Any) -> Options | None:
    """Read the options of a row as (label, text); None if there are fewer than two.

    Example:
        >>> options_of(["red", "blue"]) == options_of({"A": "red", "B": "blue"})
        True
        >>> options_of({"text": ["x", "y"], "label": ["1", "2"]}), options_of(["A)7", "B)8"])
        ([('1', 'x'), ('2', 'y')], [('A', '7'), ('B', '8')])
    """
    if isinstance(content, str):
        content = parsed(content)
    if isinstance(content, list) and content and all(isinstance(c, Mapping) for c in content):
        merged = [pair for part in content for pair in _of_object(part) or ()]
        return merged if len(merged) == len(content) > 1 else None
    if isinstance(content, Mapping):
        pairs = _of_object(content) or []
        return pairs if len(pairs) > 1 else None
    if not isinstance(content, list) or len(content) < 2 or any(_not_an_option(c) for c in content):
        return None
    texts = [str(c).strip() for c in content]
    letters = [chr(ord("A") + index) for index in range(len(texts))]
    matches = [_LABELLED.fullmatch(text) for text in texts]
    if [m and m[1] for m in matches] == letters:
        texts = [m[2] for m in matches if m]
    return list(zip(letters, texts, strict=True))


def options_in(row: Mapping[str, Any], columns: Sequence[str]) -> Options | None:
    """Read the options of a row from one column, or from columns with one option each.

    Example:
        >>> options_in({"option_a": "red", "option_b": 7}, ["option_a", "option_b"])
        [('A', 'red'), ('B', '7')]
    """
    if len(columns) == 1:
        return options_of(row.get(columns[0]))
    pairs = [(_mark(name), row.get(name)) for name in columns]
    while pairs and empty(pairs[-1][1]):  # some questions have fewer options than others
        pairs.pop()
    if len(pairs) < 2 or any(_not_an_option(option) for _, option in pairs):
        return None
    return [(mark, str(option).strip()) for mark, option in pairs]


class Choices:
    """How the answers of a source refer to its options.

    Args:
        columns: The column of the options, or the columns with one option each.
        rows: All rows of the source.
        answers: Their values in the answer column.
        answer_column: Its name.
        form: ``index``: answers are 0-based indices; ``auto``: detect the interpretation.
        location: Name of the source, for the error.

    Raises:
        LearnAlignError: if no interpretation fits, or several do that contradict each other.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        answers: Sequence[Any],
        *,
        answer_column: str,
        form: AnswerForm,
        location: str,
    ) -> None:
        self.columns, self.answer_column, self.location = columns, answer_column, location
        pairs = [
            (options, answer)
            for row, answer in zip(rows, answers, strict=True)
            if not empty(answer) and (options := options_in(row, columns)) is not None
        ]
        self.reading = "index from 0" if form == "index" else self._decide(pairs)

    def _decide(self, pairs: Sequence[tuple[Options, Any]]) -> str:
        if not pairs:
            return _READINGS[0]
        fits: dict[str, int] = {}
        for reading in _READINGS:
            fits[reading] = sum(label_of(o, a, reading) is not None for o, a in pairs)
        good = [reading for reading in _READINGS if fits[reading] >= _FITS * len(pairs)]
        if "letter" in good:  # labels may be digits: they take precedence over indices
            good = [reading for reading in good if not reading.startswith("index")]
        numbers = [_number(answer) for _, answer in pairs]
        if "index from 0" in good and "index from 1" in good:
            good.remove("index from 1")  # ambiguous: 0-based indices are more common
        if "index from 1" in good and 0 in numbers:
            good.remove("index from 1")
        same = all(
            len({label_of(o, a, reading) for reading in good} - {None}) <= 1 for o, a in pairs
        )
        if good and same:
            return good[0]
        problem = (
            f"could be {' or '.join(good)}"
            if good
            else "are neither letters, texts of options nor indices"
        )
        raise LearnAlignError(
            f"{self.location}: the options are in '{', '.join(self.columns)}', but the answers in "
            f"'{self.answer_column}' {problem} (the first is {str(pairs[0][1])[:40]!r})",
            expected="answers that name their option in one consistent way",
            do="use --answer-form index (0-based indices of options), or --answer-form text "
            "(answers unchanged; the options are not shown)",
        )

    @property
    def form(self) -> str:
        """The format of the answers."""
        return f"{self.reading}; gold: the option's label, best judged with --verifier choice"

    def label(self, options: Options, answer: Any) -> str | None:
        """Return the label of the option that an answer refers to; None if there is none."""
        return label_of(options, answer, self.reading)


_READINGS = ("letter", "text of an option", "index from 0", "index from 1")


def label_of(options: Options, answer: Any, reading: str) -> str | None:
    """Return the label of the option that an answer refers to under one interpretation.

    Example:
        >>> options = [("A", "4"), ("B", "5")]
        >>> [label_of(options, a, r) for a, r in ((1, "index from 0"), ("(b)", "letter"))]
        ['B', 'B']
    """
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    text = str(answer).strip()
    if reading == "letter":
        bare = text.strip("().: ").upper()
        return next((label for label, _ in options if label.upper() == bare), None)
    if reading == "text of an option":
        labels = [label for label, option in options if option == text]
        return labels[0] if len(labels) == 1 else None
    number, first = _number(answer), 1 if reading == "index from 1" else 0
    if number is None or not first <= number < len(options) + first:
        return None
    return options[number - first][0]


def with_options(question: str, options: Options) -> str:
    r"""Append the options to a question, one per line, unless it already shows them.

    Example:
        >>> with_options("1+1?", [("A", "2"), ("B", "3")])
        '1+1?\nA. 2\nB. 3'
        >>> with_options("1+1? (A) 2 (B) 3", [("A", "2"), ("B", "3")])
        '1+1? (A) 2 (B) 3'
    """
    if shown(question, options):
        return question
    return "\n".join([question.rstrip(), *(f"{label}. {text}" for label, text in options)])


def shown(question: str, options: Options) -> bool:
    """Return whether a question shows all options with their labels."""
    text = " ".join(question.split())
    return all(
        re.search(
            rf"(?<!\w){re.escape(label)}[\s*]*[).:\]}}][\s*]*{re.escape(' '.join(option.split()))}",
            text,
        )
        for label, option in options
    )


def options_columns(rows: Sequence[Mapping[str, Any]], answers: Sequence[Any]) -> list[str]:
    """Find the column of the options, or the columns with one option each.

    Columns ``A``, ``B``, ``C`` may contain anything: they are options only if answers are letters.

    Example:
        >>> options_columns([{"question": "Which?", "choices": ["red", "blue"]}], [1])
        ['choices']
        >>> rows = [{"Question": "Which?", "A": "red", "B": "blue", "C": "green"}]
        >>> options_columns(rows, ["C"]), options_columns(rows, [3])
        (['A', 'B', 'C'], [])
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    for name in names:
        if name.lower() in _NAMES and any(options_of(row.get(name)) for row in rows):
            return [name]
    kinds: dict[str, dict[str, str]] = {}
    for name in names:
        match = _ONE_EACH.fullmatch(name.strip())
        if match and (match[1] or match[2].isupper()):
            kinds.setdefault((match[1] or "").lower(), {})[match[2].lower()] = name
    for prefix, columns in kinds.items():
        for first in "a01":
            run = [columns[mark] for mark in _marks_from(first) if mark in columns]
            complete = all(mark in columns for mark in _marks_from(first)[: len(run)])
            certain = len(run) > 1 if prefix else len(run) > 2 and _are_letters(answers, run)
            if complete and certain and any(options_in(row, run) for row in rows):
                return run
    return []


def _are_letters(answers: Sequence[Any], labels: Sequence[str]) -> bool:
    """Return whether nearly all answers are among the labels."""
    options = [(label, "") for label in labels]
    answered = [answer for answer in answers if not empty(answer)]
    fits = sum(label_of(options, answer, "letter") is not None for answer in answered)
    return bool(answered) and fits >= _FITS * len(answered)


def _marks_from(first: str) -> list[str]:
    return [chr(ord(first) + index) for index in range(10 if first != "1" else 9)]


def _mark(name: str) -> str:
    match = _ONE_EACH.fullmatch(name.strip())
    return match[2].upper() if match else name


def _of_object(content: Mapping[str, Any]) -> Options | None:
    """Read ``{"text": [...], "label": [...]}`` or ``{"A": ..., "B": ...}``."""
    texts, labels = content.get("text"), content.get("label")
    if isinstance(texts, list) and isinstance(labels, list):
        same = len(texts) == len(labels) > 1
        return [(str(x), str(t)) for x, t in zip(labels, texts, strict=True)] if same else None
    pairs = [(str(k), str(v)) for k, v in content.items() if v is not None]
    return pairs if pairs and all(re.fullmatch("[A-Z]", label) for label, _ in pairs) else None


def _not_an_option(content: Any) -> bool:
    return empty(content) or isinstance(content, list | Mapping | bytes)


def _number(answer: Any) -> int | None:
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    text = str(answer).strip()
    return int(text) if not isinstance(answer, bool) and re.fullmatch(r"[0-9]{1,3}", text) else None
