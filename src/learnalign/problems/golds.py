r"""Reading gold answers: the accepted texts, from any format of column."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Literal

from learnalign.problems.nested import empty, parsed
from learnalign.tables import gold_text

AnswerForm = Literal["auto", "text", "index"]
_WORKED = re.compile(r"(?<!#)####(?!#)[ \t]*\n?[ \t]*(\S[^\n]*)\Z")
_CURRENCY = re.compile(r"(?<!\\)\\\$|\A([-+]?)\$(?=[\d.,]+\Z)")
#: Control characters, including LaTeX whose single backslash was parsed as an escape.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\t(?=ext|[dt]?frac|imes|heta)|\r(?=ight)")
#: Maximum characters of a one-line answer; longer text may be a solution.
_SHORT = 200
#: The format of a gold that is an object.
OBJECT = "an object"


@dataclass(frozen=True)
class Gold:
    """A parsed gold answer, or why it cannot be used."""

    texts: tuple[str, ...]
    """Any of them is correct; empty if it cannot be used."""
    form: str
    """The format it was written in."""
    reason: str = ""
    """The reason for EXCLUDED; empty if it can be used."""
    detail: str = ""


class GoldReader:
    r"""Reads the golds of one column.

    Text such as ``["11"]`` is a list of golds only if every text of the column is a JSON (or
    Python) list of strings; otherwise, and for lists of numbers such as ``[0, 1]``, the text itself
    is the answer. A list of one element is that element, at any depth. A list of several strings
    contains alternatives. A list of several numbers may be a vector, a set or alternatives, so it
    is excluded.

    Args:
        values: All values of the column.
        column: Its name, for messages.
        form: ``auto``, or ``text`` to use each value unchanged.

    Example:
        >>> GoldReader(['["11"]', '["3", "3.0"]'], "answer").read('["3", "3.0"]').texts
        ('3', '3.0')
        >>> GoldReader(["[0, 1]", "7"], "answer").read("[0, 1]").texts
        ('[0, 1]',)
        >>> read = GoldReader([], "answer").read
        >>> read("So 400 * 3 = 1,200.\n####1,200").texts, read([["72"]]).texts, read(27.0).texts
        (('1200',), ('72',), ('27',))
        >>> read("\\$3.47").texts, read({"target": "Paris"}).reason
        (('3.47',), 'object_answer')
    """

    def __init__(
        self, values: Sequence[Any], column: str | None, form: AnswerForm = "auto"
    ) -> None:
        self.column, self.form = column, form
        texts = [v for v in values if isinstance(v, str) and v.strip()] if form == "auto" else []
        self.lists = bool(texts) and all(_is_list_of_texts(text) for text in texts)

    def read(self, content: Any) -> Gold:
        """Read one value."""
        if empty(content):
            return Gold((), "nothing", "missing_answer")
        if self.form == "text":
            text = content if isinstance(content, str) else json.dumps(content, default=str)
            return Gold((text.strip(),), "unchanged")
        notes = []
        if isinstance(content, str) and self.lists:
            content = parsed(content)
            notes.append("JSON text")
        depth = 0
        while isinstance(content, list) and len(content) == 1:
            content, depth = content[0], depth + 1
        if depth:
            notes.append("list of one")
        if empty(content):
            return Gold((), "nothing", "missing_answer")
        keys = _keys(content)
        if keys is not None:
            return self._object(keys, "0." * depth)
        if isinstance(content, list):
            return _alternatives(content, notes)
        answer, note = single(content)
        if answer is None:
            return Gold((), ", ".join([*notes, "unreadable"]), "unreadable_answer", note)
        if note not in ("", "text") or not notes:
            notes.append(note or "text")
        if self.form == "auto" and isinstance(content, str) and _is_list_of_texts(content):
            notes.append("like a list")
        return Gold((answer,), ", ".join(notes))

    def _object(self, keys: list[str], prefix: str) -> Gold:
        names = [f"{self.column}.{prefix}{key}" for key in keys[:8]]
        options = " or ".join(map(quote, names))
        detail = f"an object; use --answer-column {options} to select a field"
        return Gold((), OBJECT, "object_answer", detail)


def answer_of(content: Any) -> str | None:
    """Read one value on its own, as the ``answer`` of a problem; None if it is not an answer.

    Example:
        >>> answer_of(72.0), answer_of(["72"]), answer_of(["7", "7.0"]), answer_of(None)
        ('72', '72', 'any of ["7", "7.0"]', None)
    """
    texts = GoldReader([content], None).read(content).texts
    return gold_text(texts) if texts else None


def _alternatives(content: list[Any], notes: list[str]) -> Gold:
    """Read a list of several values: texts are alternatives, equal values count as one."""
    texts: list[str] = []
    for item in content:
        if empty(item):
            continue
        text, note = (None, "it contains a list") if _nested(item) else single(item)
        if text is None:
            return Gold((), "list", "unreadable_answer", f"a list of {len(content)}: {note}")
        texts.append(text)
    distinct = tuple(dict.fromkeys(texts))
    if not distinct:
        return Gold((), "nothing", "missing_answer")
    if len(distinct) > 1 and not all(isinstance(x, str) for x in content if not empty(x)):
        detail = (
            f"a list of {len(content)} numbers: write alternatives as strings, a vector as one "
            "string, or use --answer-form text to use it unchanged"
        )
        return Gold((), "list", "unreadable_answer", detail)
    form = "list, any of which is correct" if len(distinct) > 1 else "list of equal values"
    return Gold(distinct, ", ".join([*notes, form]))


def single(content: Any) -> tuple[str | None, str]:
    r"""Convert a single value to (text, how), or to (None, why) if it is not an answer.

    Example:
        >>> single(72.0), single("3 * 400\n#### 1,200"), single("\\$3.47")[0]
        (('72', 'number'), ('1200', 'after ####'), '3.47')
    """
    if isinstance(content, bytes):
        return None, "bytes"
    if isinstance(content, float) and math.isinf(content):
        return None, "a number too large for a float"
    if isinstance(content, float) and content.is_integer():
        content = int(content)
    if isinstance(content, bool):
        return str(content), "true or false"
    if not isinstance(content, str):
        return str(content), "number" if isinstance(content, int | float) else ""
    if _CONTROL.search(content):
        return None, r"control characters (is a backslash missing, as in '\frac' for '\\frac'?)"
    text, note = content.strip(), ""
    if "\n" in text or len(text) > _SHORT:
        note = "text of several lines" if "\n" in text else "long text"
        note += " with \\boxed" if "\\boxed" in text else ""
    if "####" in text:
        worked = _WORKED.search(text)
        if worked:
            text, note = re.sub(r"(?<=\d),(?=\d{3})", "", worked[1].strip()), "after ####"
        elif "\\boxed" not in text and re.search(r"(?<!#)####(?!#)", text):
            return None, "#### is not followed by a single last line with the answer"
    if _CURRENCY.search(text):
        text = _CURRENCY.sub(r"\1", text).strip()
        note = ", ".join(filter(None, [note, "currency sign dropped"]))
    return (text, note) if text else (None, "only a sign")


def _nested(content: Any) -> bool:
    return isinstance(content, list | Mapping)


def _keys(content: Any) -> list[str] | None:
    """Return the keys of an object, including one written as text; None for other values."""
    if isinstance(content, str) and content.lstrip().startswith("{"):
        content = parsed(content)
    return [str(key) for key in content] if isinstance(content, Mapping) and content else None


def _is_list_of_texts(text: str) -> bool:
    items = parsed(text) if text.lstrip().startswith("[") else None
    while isinstance(items, list) and len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    return isinstance(items, list) and bool(items) and all(isinstance(x, str) for x in items)
