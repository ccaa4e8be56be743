"""The pool: problems from all sources, without duplicates, benchmark problems and blanks."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.chats import question_of, read_prompt
from learnalign.problems.columns import INSPECTED_ROWS, Columns, recognise
from learnalign.problems.golds import OBJECT
from learnalign.problems.nested import empty, value
from learnalign.problems.reading import Reading
from learnalign.problems.rows import Rows
from learnalign.problems.sources import NoRowsError, Source, read_source
from learnalign.problems.texts import Benchmarks, gold_key, normal
from learnalign.tables import EXCLUDED, gold_text, golds

Problem = dict[str, Any]
#: Columns that some trainers prepend to a prompt.
_SYSTEM = ("system", "system_prompt", "system_message")


@dataclass
class Pool:
    """The problems read from all sources, and how they were read."""

    problems: list[Problem] = field(default_factory=list)
    """Rows of the PROBLEMS table, without prompt and prompt_ids yet."""
    excluded: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the EXCLUDED table."""
    originals: dict[int, pa.Table] = field(default_factory=dict)
    """Arrow tables of the sources that have one, by source_index."""
    readings: list[Reading] = field(default_factory=list)
    """For each source, which columns were read and how."""

    def excluded_table(self) -> pa.Table:
        """Return the excluded problems as an EXCLUDED table."""
        return pa.Table.from_pylist(self.excluded, schema=EXCLUDED)


def read_pool(config: DataConfig) -> Pool:
    """Read all sources into one pool.

    Duplicates of an earlier prompt are excluded (even with another answer: one of the two golds is
    wrong), and so are near-duplicates with the same answer, unless ``keep_near_duplicates``. Golds
    that differ only in notation count as the same. Rows whose prompt or answer is missing or
    unreadable, and problems of the benchmarks, are excluded too. Excluded rows are listed.

    Raises:
        LearnAlignError: without a source, if a source cannot be read, if no source has rows, if the
            user's id column has duplicates or an id of several lines, or if all answers of a source
            are objects.

    Example:
        >>> pool = read_pool(DataConfig(paths=("reasoning-gym:gcd?size=3&seed=1",)))
        >>> [problem["answer"] for problem in pool.problems]
        ['1', '2', '1']
    """
    if not config.paths:
        raise LearnAlignError(
            "got no data",
            expected="a file, a folder, a hub name or reasoning-gym:NAME",
            do="name it",
        )
    pool = Pool()
    reader = _Reader(config, pool, _benchmarks(config))
    index = 0
    blank: list[NoRowsError] = []
    for spec in config.paths:
        try:
            source = read_source(spec, split=config.split, limit=config.limit)
        except NoRowsError as error:
            blank.append(error)
            pool.readings.append(Reading(spec, Columns(None, None)))
            index += 1
            continue
        for part in _alike(source, config, spec):
            if part.original is not None:
                pool.originals[index] = part.original
            reader.add(index, part, spec)
            index += 1
    if len(blank) == len(config.paths):
        raise NoRowsError(
            "\n".join(error.got for error in blank), expected=blank[0].expected, do=blank[0].do
        )
    return pool


def _alike(source: Source, config: DataConfig, spec: str) -> list[Source]:
    """Return a source, or its files by their columns if no column fits all of them."""
    groups = source.by_columns()
    if len(groups) > 1:
        try:
            recognise(source.rows, config, location=spec)
        except LearnAlignError:
            return groups
    return [source]


class _Reader:
    """Adds sources to a pool, remembering what it has seen."""

    def __init__(self, config: DataConfig, pool: Pool, benchmarks: Benchmarks | None) -> None:
        self.config, self.pool, self.benchmarks = config, pool, benchmarks
        self.exact: dict[str, Problem] = {}
        self.near: dict[tuple[str, tuple[str, ...]], Problem] = {}
        self.user_ids: dict[str, str] = {}
        self.position = 0

    def add(self, index: int, source: Source, spec: str) -> None:
        columns = recognise(source.rows, self.config, location=spec)
        reading = Reading(spec, columns, notes=list(source.notes))
        if columns.id is not None and self.config.id_column is None:
            # A detected id column is a guess: use it only if it is unique over all sources.
            ids = [value(row, columns.id) for row in source.rows]
            names = {str(i) for i in ids}
            if None in ids or len(names) < len(ids) or names & self.user_ids.keys():
                reading.notes.append(f"the column {columns.id} is not used as id: not unique")
                columns = replace(columns, id=None)
        hidden = [
            name
            for name in dict.fromkeys(name for row in source.rows[:INSPECTED_ROWS] for name in row)
            if name.lower() in _SYSTEM and any(not empty(row.get(name)) for row in source.rows)
        ]
        reading.notes += [f"the column {name} is not shown to the model" for name in hidden]
        reading.columns = columns
        self.pool.readings.append(reading)
        rows = Rows(source.rows, columns, self.config, spec)
        reading.options = ", ".join(rows.choices.columns) if rows.choices is not None else None
        for number, row in enumerate(source.rows):
            origin = {"source_index": index, "source_row": number}
            text = None if source.texts is None else source.texts[number]
            location = f"{spec}, row {number + 1}"
            self._add_row(rows, reading, source.name, origin, row, text, location)
            self.position += 1
        if OBJECT in reading.answers and set(reading.answers) <= {OBJECT, "nothing"}:
            rows.refuse_objects()

    def _add_row(
        self,
        rows: Rows,
        reading: Reading,
        name: str,
        origin: dict[str, int],
        row: dict[str, Any],
        written: str | None,
        location: str,
    ) -> None:
        columns = rows.columns
        prompt, gold = rows.read(row, origin["source_row"], location)
        reading.prompts[prompt.form] += 1
        reading.answers[gold.form] += 1
        user_id = _checked_id(value(row, columns.id), columns.id, location)
        text = json.dumps(row, ensure_ascii=False, default=str)
        reason, detail = (
            prompt.reason or gold.reason,
            prompt.detail if prompt.reason else gold.detail,
        )
        if not reason and not _encodes(text):
            reason, detail = "broken_text", "a lone surrogate (half a character, such as \\ud83d)"
        if reason:
            problem_id = user_id or f"{name}-{origin['source_row']}"
            detail = f"{location}: {detail}" if detail else location
            self._exclude(reading, problem_id, origin, reason, detail)
            return
        answer = gold_text(gold.texts)
        problem: Problem = {
            "problem_id": self._id(columns, user_id, prompt.messages, answer, location),
            "position": self.position,
            **origin,
            "source": str(value(row, columns.source) or name),
            "difficulty": _label(value(row, columns.difficulty)),
            "messages": prompt.messages,
            "answer": answer,
            "row": text if written is None else written,
        }
        reason, detail = self._reason(problem)
        if reason:
            self._exclude(reading, problem["problem_id"], origin, reason, detail)
        else:
            self.pool.problems.append(problem)

    def _id(
        self, columns: Columns, user_id: str | None, messages: Any, answer: str, location: str
    ) -> str:
        if columns.id is None:
            text = json.dumps([messages, answer], ensure_ascii=False)
            return hashlib.sha256(text.encode()).hexdigest()[:16]
        if user_id is None or user_id in self.user_ids:
            got = "no id" if user_id is None else f"the id '{user_id}' again"
            first = f" (first in {self.user_ids[user_id]})" if user_id is not None else ""
            raise LearnAlignError(
                f"{location}: got {got}{first}",
                expected=f"unique values in the id column '{columns.id}'",
                do="fix them, or name another column with --id-column",
            )
        self.user_ids[user_id] = location
        return user_id

    def _reason(self, problem: Problem) -> tuple[str, str]:
        """Return (reason, detail) for excluding a problem; an empty reason keeps it."""
        text = "\n".join(f"{m['role']}: {m['content']}" for m in problem["messages"])
        first = self.exact.setdefault(text, problem)
        if first is not problem:
            of = f"of {first['problem_id']}"
            if first["answer"] == problem["answer"] or _key(first) == _key(problem):
                return "duplicate", of
            return "conflicting_answer", f"{of}: '{problem['answer']}', not '{first['answer']}'"
        keys = tuple(normal(key) for key in _key(problem))
        first = self.near.setdefault((normal(text), keys), problem)
        if first is not problem and not self.config.keep_near_duplicates:
            return "near_duplicate", f"of {first['problem_id']}"
        if self.benchmarks is not None:
            match = self.benchmarks.match(question_of(problem["messages"]))
            if match is not None:
                return "contaminated", match
        return "", ""

    def _exclude(
        self, reading: Reading, problem_id: str, origin: dict[str, int], reason: str, detail: str
    ) -> None:
        reading.excluded[reason] += 1
        detail = detail.encode(errors="replace").decode()
        self.pool.excluded.append(
            {"problem_id": problem_id, **origin, "stage": "problems"}
            | {"reason": reason, "detail": detail}
        )


def _key(problem: Problem) -> tuple[str, ...]:
    """Return a key that equal golds share; all keys for alternatives."""
    return tuple(sorted({gold_key(gold) for gold in golds(problem["answer"])}))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_id(content: Any, column: str | None, location: str) -> str | None:
    """Return an id as one line of text, for lists of ids."""
    if content is None:
        return None
    text = str(content)
    if len(text.splitlines()) != 1 or text != text.strip() or not _encodes(text):
        raise LearnAlignError(
            f"{location}: got the id {text[:80]!a}",
            expected=f"one line without surrounding spaces in the id column '{column}'",
            do="fix it, or name another column with --id-column",
        )
    return text


def _label(content: Any) -> str | None:
    return None if content is None else str(content)


def _benchmarks(config: DataConfig) -> Benchmarks | None:
    """Read the prompts of the benchmark files; their answers are not needed."""
    if not config.decontaminate:
        return None
    texts = []
    for path in config.decontaminate:
        source = read_source(str(path), split=config.split)
        plain = DataConfig()
        columns = recognise(source.rows, plain, location=str(path), needs_answer=False)
        for number, row in enumerate(source.rows, 1):
            prompt = read_prompt(value(row, columns.prompt), location=f"{path}, row {number}")
            if prompt.messages:
                texts.append((f"{path.name}:{number}", prompt.messages[-1]["content"]))
    return Benchmarks(texts, ngram=config.decontaminate_ngram)
