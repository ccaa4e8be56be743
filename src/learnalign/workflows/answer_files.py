"""Read files of completions and gold answers, with the same column rules as a selection."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.chats import question_of
from learnalign.problems.columns import AnsweredColumns, Columns, recognise_answered
from learnalign.problems.golds import OBJECT, Gold
from learnalign.problems.nested import empty, parsed, value
from learnalign.problems.rows import Rows
from learnalign.problems.sources import Source, read_source
from learnalign.rollouts.imports.values import reward_of
from learnalign.verifying.judging import Answered, completions_of, encodable
from learnalign.verifying.routing import KINDS

#: Values that mean "no verdict" and "no answer", including our own verdict names.
_NO_VERDICT = ("none", "null", "n/a", "unparsed_gold", "error")
_NO_ANSWER = ("unparsed_answer", "timed_out")


@dataclass(frozen=True)
class AnsweredRow:
    """One row of a file."""

    file: str
    row: int
    """Counted from 1."""
    kind: str
    """The requested verifier: the row's, else that of the options."""
    written_gold: str
    """The gold answer as written in the row."""
    answered: Answered
    theirs: tuple[bool | None, ...]
    """The user's own verdicts, one per completion; None where missing."""


@dataclass(frozen=True)
class AnsweredFile:
    """The rows of one file, and a line about how it was read."""

    rows: list[AnsweredRow]
    line: str


def read_answered(
    path: str,
    config: DataConfig,
    *,
    kind: str = "auto",
    completion: str | None = None,
    against: str | None = None,
) -> AnsweredFile:
    """Read a file of completions and gold answers.

    A row's completion is text, a chat's messages, or a list of these. Null completions become empty
    texts. If ``kind`` is "auto", a column ``verifier`` or ``kind`` with names of verifiers sets the
    verifier of each row.

    Args:
        path: Any source that `read_source` reads.
        config: Columns that the user named, and how to read gold answers.
        kind: The verifier of rows that name none.
        completion: Column of the completions; None finds it by name.
        against: Column of the user's own verdicts.

    Raises:
        LearnAlignError: for a row that cannot be read; the message names file and row.
    """
    source = read_source(path, split=config.split, limit=config.limit)
    columns = recognise_answered(
        source.rows, config, location=path, completion=completion, against=against
    )
    return _File(path, source, columns, config, kind, against).read()


class _File:
    """Reads one source; the meaning of each column is decided from all rows."""

    def __init__(
        self,
        path: str,
        source: Source,
        columns: AnsweredColumns,
        config: DataConfig,
        kind: str,
        against: str | None,
    ) -> None:
        self.path, self.columns, self.against, self.kind = path, columns, against, kind
        self.source, self.notes = source, list(source.notes)
        self.problems = Rows(source.rows, Columns(columns.prompt, columns.answer), config, path)
        completions = [value(row, columns.completion) for row in source.rows]
        self.is_json = _are_json_lists(completions)
        if self.is_json:
            self.notes.append(f"{columns.completion} holds JSON text")
        self.by_row = kind == "auto" and self._names_verifiers()

    def read(self) -> AnsweredFile:
        """Read all rows."""
        rows, forms, counts = [], Counter[str](), Counter[str]()
        for number, row in enumerate(self.source.rows):
            answered, form = self._row(row, number, counts)
            forms[form] += 1
            rows.append(answered)
        if OBJECT in forms and set(forms) <= {OBJECT, "nothing"}:
            self.problems.refuse_objects()
        if not any(row.answered.completions for row in rows):
            raise LearnAlignError(
                f"{self.path} has no completions in '{self.columns.completion}'",
                expected="a text or a list of texts in each row",
                do="correct --completion-column",
            )
        notes = [f"{name}: {n:,}" for name, n in counts.items() if n]
        return AnsweredFile(rows, "; ".join([self._line(forms), *self.notes, *notes]))

    def _row(
        self, row: Mapping[str, Any], number: int, counts: Counter[str]
    ) -> tuple[AnsweredRow, str]:
        location = f"{self.path}, row {number + 1}"
        prompt, gold = self.problems.read(row, number, location)
        completions = self._completions(row, location, counts)
        texts = tuple(map(encodable, gold.texts))
        if texts != gold.texts:
            gold = Gold((), gold.form, "broken_text", "half a character (a lone surrogate)")
        messages = [{k: encodable(v) for k, v in message.items()} for message in prompt.messages]
        excluded = (self.columns.completion, self.against)  # not part of the problem
        own = {name: v for name, v in row.items() if name not in excluded}
        answered = Answered(
            gold.texts,
            completions,
            question_of(messages) if messages else "",
            messages,
            json.dumps(own, default=str),
            ": ".join(filter(None, [gold.reason, gold.detail])),
        )
        theirs = self._theirs(row, len(completions), location)
        written = value(row, self.columns.answer)
        shown = "" if empty(written) else encodable(str(written))
        kind = self._kind(row, location)
        return AnsweredRow(self.path, number + 1, kind, shown, answered, theirs), gold.form

    def _completions(
        self, row: Mapping[str, Any], location: str, counts: Counter[str]
    ) -> tuple[str, ...]:
        content = value(row, self.columns.completion)
        if self.is_json and isinstance(content, str):
            content = parsed(content)
        try:
            texts = completions_of(content)
        except LearnAlignError as error:
            raise LearnAlignError(
                f"{location}: {error.got}",
                expected="text, a chat's messages, or a list of these",
                do="correct the row, or --completion-column (use dots for nested columns)",
            ) from error
        completions = tuple(map(encodable, texts))
        replaced = sum(map(str.__ne__, texts, completions))
        counts["rows without a completion"] += not texts
        counts["empty completions"] += texts.count("")
        counts["completions with half a character, read as ?"] += replaced
        return completions

    def _theirs(self, row: Mapping[str, Any], count: int, location: str) -> tuple[bool | None, ...]:
        if self.against is None:
            return (None,) * count
        content = value(row, self.against)
        if isinstance(content, str) and content.lstrip().startswith("["):
            content = parsed(content)
        if empty(content):
            return (None,) * count
        several = list(content) if isinstance(content, list | tuple) else [content]
        if len(several) != count:
            raise LearnAlignError(
                f"{location}: {count} completions and {len(several)} verdicts in '{self.against}'",
                expected="one verdict per completion",
                do="correct the row, or --against",
            )
        return tuple(_verdict(one, location, self.against) for one in several)

    def _names_verifiers(self) -> bool:
        """Whether a column names verifiers; columns with other values are ignored."""
        name = self.columns.verifier
        if name is None:
            return False
        known = any(_named(row.get(name)) in KINDS for row in self.source.rows)
        if not known:
            self.notes.append(f"ignored the column {name}, which names no verifiers")
        return known

    def _kind(self, row: Mapping[str, Any], location: str) -> str:
        name = value(row, self.columns.verifier) if self.by_row else None
        if empty(name):
            return self.kind
        if _named(name) not in KINDS:  # module:function neither: data must not choose code to run
            raise LearnAlignError(
                f"{location}: got the verifier {name!r} in '{self.columns.verifier}'",
                expected=f"one of {', '.join(KINDS)}: {nearest(str(name), KINDS)}",
                do="correct the row, or give --verifier for all rows",
            )
        return _named(name)

    def _line(self, forms: Counter[str]) -> str:
        (form, first), *others = forms.most_common()
        form_counts = form + (f" in {first:,} rows; " if others else "")
        form_counts += "; ".join(f"{other} in {n:,}" for other, n in others)
        parts = [
            f"completion: {self.columns.completion}",
            f"answer: {self.columns.answer} ({form_counts})",
            f"prompt: {self.columns.prompt or 'none'}",
            f"verifier: {self.columns.verifier if self.by_row else self.kind}",
        ]
        return ", ".join([*parts, *([f"against: {self.against}"] if self.against else [])])


def _named(content: Any) -> str:
    return content.strip().lower() if isinstance(content, str) else ""


def _are_json_lists(values: Sequence[Any]) -> bool:
    """Whether all texts of a column are JSON lists of texts or chats, as in a CSV file."""
    texts = [text for text in values if isinstance(text, str) and text.strip()]
    return bool(texts) and all(
        text.lstrip().startswith("[") and _is_json_list(parsed(text)) for text in texts
    )


def _is_json_list(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    if all(isinstance(x, Mapping) and "role" in x for x in content):
        return True
    return all(isinstance(x, str) or _is_json_list(x) for x in content)


def _verdict(content: Any, location: str, column: str) -> bool | None:
    """Read another judge's verdict: above 0.5 is correct; None where missing."""
    if empty(content) or _named(content) in _NO_VERDICT:
        return None
    if _named(content) in _NO_ANSWER:
        return False
    try:
        reward = reward_of(content, location)
    except LearnAlignError as error:
        raise LearnAlignError(
            f"{location}: got the verdict {content!r} in '{column}'",
            expected="true or false, correct or wrong, or a number (above 0.5 is correct)",
            do="correct the row, or --against (use dots for nested columns)",
        ) from error
    return reward > 0.5 if reward is not None and math.isfinite(reward) else None
