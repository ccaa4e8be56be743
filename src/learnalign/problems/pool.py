"""The pool: rows of all sources as problems with ids, without copies, benchmarks and blanks."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.columns import Columns, answer_of, messages_of, recognise, value
from learnalign.problems.sources import Source, read_source
from learnalign.problems.texts import Benchmarks, normal
from learnalign.tables import EXCLUDED

Problem = dict[str, Any]


@dataclass
class Pool:
    """What was read."""

    problems: list[Problem] = field(default_factory=list)
    """Rows of the PROBLEMS table, still without prompt and prompt_ids."""
    excluded: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the EXCLUDED table."""
    originals: dict[int, pa.Table] = field(default_factory=dict)
    """Arrow tables of the sources that have one, by source_index."""
    columns: list[Columns] = field(default_factory=list)
    """Which columns were read, source by source."""

    def excluded_table(self) -> pa.Table:
        """Give the problems that were left out as an EXCLUDED table."""
        return pa.Table.from_pylist(self.excluded, schema=EXCLUDED)


def read_pool(config: DataConfig) -> Pool:
    """Read all sources into one pool.

    Copies of a prompt that stood earlier are dropped (a copy with another answer too: one of the
    two golds is wrong), near copies with the same answer as well, unless ``keep_near_duplicates``.
    Rows with an empty prompt or without an answer, and problems of the benchmarks, are left out and
    listed.

    Raises:
        LearnAlignError: if there is no source, one cannot be read, or two rows of the user's id
            column are equal.

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
    for index, spec in enumerate(config.paths):
        source = read_source(spec, split=config.split, limit=config.limit)
        if source.original is not None:
            pool.originals[index] = source.original
        reader.add(index, source, spec)
    return pool


class _Reader:
    """Adds sources to a pool, remembering what it has seen."""

    def __init__(self, config: DataConfig, pool: Pool, benchmarks: Benchmarks | None) -> None:
        self.config, self.pool, self.benchmarks = config, pool, benchmarks
        self.exact: dict[str, Problem] = {}
        self.near: dict[tuple[str, str], Problem] = {}
        self.user_ids: dict[str, str] = {}
        self.position = 0

    def add(self, index: int, source: Source, spec: str) -> None:
        columns = recognise(source.rows[0], self.config, place=spec)
        if columns.id is not None and self.config.id_column is None:
            # A recognised id column is a guess: it counts only where it is one, over all sources.
            ids = [value(row, columns.id) for row in source.rows]
            names = {str(i) for i in ids}
            if None in ids or len(names) < len(ids) or names & self.user_ids.keys():
                columns = Columns(
                    columns.prompt, columns.answer, None, columns.source, columns.difficulty
                )
        self.pool.columns.append(columns)
        for number, row in enumerate(source.rows):
            self._add_row(columns, source.name, index, number, row, f"{spec}, row {number + 1}")
            self.position += 1

    def _add_row(
        self, columns: Columns, name: str, index: int, number: int, row: dict[str, Any], place: str
    ) -> None:
        messages = messages_of(value(row, columns.prompt))
        answer = answer_of(value(row, columns.answer))
        where = {"source_index": index, "source_row": number}
        if messages is None or answer is None:
            problem_id = str(value(row, columns.id) or f"{name}-{number}")
            reason = "empty_prompt" if messages is None else "missing_answer"
            self._leave_out(problem_id, where, reason, place)
            return
        problem: Problem = {
            "problem_id": self._id(columns, row, messages, answer, place),
            "position": self.position,
            **where,
            "source": str(value(row, columns.source) or name),
            "difficulty": _label(value(row, columns.difficulty)),
            "messages": messages,
            "answer": answer,
            "row": json.dumps(row, ensure_ascii=False, default=str),
        }
        reason, detail = self._reason(problem)
        if reason:
            self._leave_out(problem["problem_id"], where, reason, detail)
        else:
            self.pool.problems.append(problem)

    def _id(
        self, columns: Columns, row: dict[str, Any], messages: Any, answer: str, place: str
    ) -> str:
        user_id = value(row, columns.id)
        if columns.id is None:
            text = json.dumps([messages, answer], ensure_ascii=False)
            return hashlib.sha256(text.encode()).hexdigest()[:16]
        if user_id is None or str(user_id) in self.user_ids:
            got = "no id" if user_id is None else f"the id '{user_id}' a second time"
            first = f" (first in {self.user_ids[str(user_id)]})" if user_id is not None else ""
            raise LearnAlignError(
                f"{place}: got {got}{first}",
                expected=f"different values in the id column '{columns.id}'",
                do="mend them, or name another column with --id-column",
            )
        self.user_ids[str(user_id)] = place
        return str(user_id)

    def _reason(self, problem: Problem) -> tuple[str, str]:
        """Say why a problem must stay out; an empty reason lets it in."""
        text = "\n".join(f"{m['role']}: {m['content']}" for m in problem["messages"])
        first = self.exact.setdefault(text, problem)
        if first is not problem:
            of = f"of {first['problem_id']}"
            if first["answer"] == problem["answer"]:
                return "duplicate", of
            return "conflicting_answer", f"{of}: '{problem['answer']}', not '{first['answer']}'"
        first = self.near.setdefault((normal(text), normal(problem["answer"])), problem)
        if first is not problem and not self.config.keep_near_duplicates:
            return "near_duplicate", f"of {first['problem_id']}"
        if self.benchmarks is not None:
            match = self.benchmarks.match(problem["messages"][-1]["content"])
            if match is not None:
                return "contaminated", match
        return "", ""

    def _leave_out(self, problem_id: str, where: dict[str, int], reason: str, detail: str) -> None:
        self.pool.excluded.append(
            {"problem_id": problem_id, **where, "stage": "problems"}
            | {"reason": reason, "detail": detail}
        )


def _label(content: Any) -> str | None:
    return None if content is None else str(content)


def _benchmarks(config: DataConfig) -> Benchmarks | None:
    """Read the benchmark files; their answers do not matter."""
    if not config.decontaminate:
        return None
    texts = []
    for path in config.decontaminate:
        source = read_source(str(path), split=config.split)
        plain = DataConfig()
        columns = recognise(source.rows[0], plain, place=str(path), needs_answer=False)
        for number, row in enumerate(source.rows, 1):
            messages = messages_of(value(row, columns.prompt))
            if messages is not None:
                texts.append((f"{path.name}:{number}", messages[-1]["content"]))
    return Benchmarks(texts, ngram=config.decontaminate_ngram)
