"""Multiple choice: options in a separate column, and the answer that points at one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.problems.golds import AnswerForm
from learnalign.problems.nested import empty, parsed

Options = list[tuple[str, str]]
_NAMES = ("choices", "options", "answer_choices", "answer_options", "endings")
#: Columns that hold an option each: ``option_a``, ``opb``, ``Choice 1``, or ``A``, ``B``, ``C``.
_ONE_EACH = re.compile(r"(?:(option|choice|opt|op)[ _-]?)?([a-j]|\d)", re.IGNORECASE)
_LABELLED = re.compile(r"\(?([A-Z])\s*[).:]\s*(.*)", re.DOTALL)
#: Share of the rows that a reading of the answers must fit.
_FITS = 0.9


def options_of(content: Any) -> Options | None:
    """Read the options of a row as (label, text); None if there are not at least two.

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
    if not isinstance(content, list) or len(content) < 2 or any(_odd(c) for c in content):
        return None
    texts = [str(c).strip() for c in content]
    letters = [chr(ord("A") + place) for place in range(len(texts))]
    found = [_LABELLED.fullmatch(text) for text in texts]
    if [m and m[1] for m in found] == letters:
        texts = [m[2] for m in found if m]
    return list(zip(letters, texts, strict=True))


def options_in(row: Mapping[str, Any], columns: Sequence[str]) -> Options | None:
    """Read the options of a row from their column, or from columns that hold one each.

    Example:
        >>> options_in({"option_a": "red", "option_b": 7}, ["option_a", "option_b"])
        [('A', 'red'), ('B', '7')]
    """
    if len(columns) == 1:
        return options_of(row.get(columns[0]))
    pairs = [(_mark(name), row.get(name)) for name in columns]
    while pairs and empty(pairs[-1][1]):  # some questions have fewer options than others
        pairs.pop()
    if len(pairs) < 2 or any(_odd(option) for _, option in pairs):
        return None
    return [(mark, str(option).strip()) for mark, option in pairs]


class Choices:
    """How the answers of a source point at its options.

    Args:
        columns: The column of the options, or those that hold one each.
        rows: All rows of the source.
        answers: Their values in the answer column.
        answer_column: Its name.
        form: ``index``: answers count the options from 0; ``auto``: what fits decides.
        place: Of the source, for the error.

    Raises:
        LearnAlignError: if no reading fits, or two that contradict each other do.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        answers: Sequence[Any],
        *,
        answer_column: str,
        form: AnswerForm,
        place: str,
    ) -> None:
        self.columns, self.answer_column, self.place = columns, answer_column, place
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
        if "letter" in good:  # labels may be digits: they are meant before places are
            good = [reading for reading in good if not reading.startswith("index")]
        numbers = [_number(answer) for _, answer in pairs]
        if "index from 0" in good and "index from 1" in good:
            good.remove("index from 1")  # the usual one, where the numbers themselves do not tell
        if "index from 1" in good and 0 in numbers:
            good.remove("index from 1")
        same = all(
            len({label_of(o, a, reading) for reading in good} - {None}) <= 1 for o, a in pairs
        )
        if good and same:
            return good[0]
        what = " and ".join(good) if good else "neither letters, texts of options nor their indices"
        raise LearnAlignError(
            f"{self.place}: the options are in '{', '.join(self.columns)}', and the answers in "
            f"'{self.answer_column}' are {what} ({str(pairs[0][1])[:40]!r} first)",
            expected="answers that name their option in one consistent way",
            do="give --answer-form index (options counted from 0), or --answer-form text (answers "
            "unchanged; the options are not shown)",
        )

    @property
    def form(self) -> str:
        """What the answers are written as."""
        return f"{self.reading}; gold: its label, best judged with --verifier choice"

    def label(self, options: Options, answer: Any) -> str | None:
        """Return the label of the option that an answer points at; None if it points at none."""
        return label_of(options, answer, self.reading)


_READINGS = ("letter", "text of an option", "index from 0", "index from 1")


def label_of(options: Options, answer: Any, reading: str) -> str | None:
    """Return the label of the option that an answer means under one reading.

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
        found = [label for label, option in options if option == text]
        return found[0] if len(found) == 1 else None
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
    """Name the column that holds the options, or the columns that hold one each.

    Columns ``A``, ``B``, ``C`` may hold anything: they are options where the answers are letters.

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
        one = _ONE_EACH.fullmatch(name.strip())
        if one and (one[1] or one[2].isupper()):
            kinds.setdefault((one[1] or "").lower(), {})[one[2].lower()] = name
    for prefix, found in kinds.items():
        for first in "a01":
            run = [found[mark] for mark in _from(first) if mark in found]
            whole = all(mark in found for mark in _from(first)[: len(run)])
            sure = len(run) > 1 if prefix else len(run) > 2 and _letters(answers, run)
            if whole and sure and any(options_in(row, run) for row in rows):
                return run
    return []


def _letters(answers: Sequence[Any], labels: Sequence[str]) -> bool:
    """Return whether nearly all answers are one of some labels."""
    options = [(label, "") for label in labels]
    given = [answer for answer in answers if not empty(answer)]
    fits = sum(label_of(options, answer, "letter") is not None for answer in given)
    return bool(given) and fits >= _FITS * len(given)


def _from(first: str) -> list[str]:
    return [chr(ord(first) + place) for place in range(10 if first != "1" else 9)]


def _mark(name: str) -> str:
    one = _ONE_EACH.fullmatch(name.strip())
    return one[2].upper() if one else name


def _of_object(content: Mapping[str, Any]) -> Options | None:
    """Read ``{"text": [...], "label": [...]}`` or ``{"A": ..., "B": ...}``."""
    texts, labels = content.get("text"), content.get("label")
    if isinstance(texts, list) and isinstance(labels, list):
        same = len(texts) == len(labels) > 1
        return [(str(x), str(t)) for x, t in zip(labels, texts, strict=True)] if same else None
    pairs = [(str(k), str(v)) for k, v in content.items() if v is not None]
    return pairs if pairs and all(re.fullmatch("[A-Z]", label) for label, _ in pairs) else None


def _odd(content: Any) -> bool:
    return empty(content) or isinstance(content, list | Mapping | bytes)


def _number(answer: Any) -> int | None:
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    text = str(answer).strip()
    return int(text) if not isinstance(answer, bool) and re.fullmatch(r"[0-9]{1,3}", text) else None
