"""Match recorded rollouts to problems, by id or by prompt."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.problems.chats import question_of
from learnalign.problems.texts import normal
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.repeats import num_resumed, one_count
from learnalign.rollouts.imports.rows import IDS
from learnalign.rollouts.imports.turns import is_rendered_chat, last_user_turn, texts_of
from learnalign.terminal.progress import Advance

Group = list[Record]


Known = dict[bytes, str | set[str]]
"""A problem by the digest of a text; a set of problems that share it."""


@dataclass(frozen=True)
class Match:
    """The problems that a record may belong to by its prompt; several if they share it."""

    names: frozenset[str] = frozenset()
    is_normalised: bool = False
    """Whether only the normalised prompt is theirs: case, blanks and punctuation differ."""
    is_other_chat: bool = False
    """Whether only the question is theirs, in a chat of another template or system message."""

    @property
    def name(self) -> str | None:
        """The problem, if there is exactly one."""
        return next(iter(self.names)) if len(self.names) == 1 else None


class Join:
    """Finds a problem of the pool by its id, its whole prompt, or its question.

    A prompt is matched by its token ids, its text, or its text without special tokens, which is
    what verl records; and where that finds no problem, by its normalised text
    (`problems.texts.normal`). Of problems that share a text, an id may name the right one.

    Args:
        pool: Tables with the columns ``problem_id``, ``prompt``, ``prompt_ids``, ``messages``.
        tokenizer: Tokenizer of the model that these prompts are for.
    """

    def __init__(self, pool: Iterable[pa.Table], tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.names: set[str] = set()
        self.exact: list[Known] = [{}, {}, {}]
        """Problems by the whole prompt, the prompt without special tokens, and the question."""
        self.normal: list[Known] = [{}, {}]
        """Problems by the normalised prompt and question."""
        self.before: dict[str, str] = {}
        """What comes before a problem's question in a prompt that is a chat of a known template."""
        self.example: tuple[str, str] | None = None
        self._by_record: dict[tuple[Any, ...], Match] = {}
        for table in pool:
            known = ["problem_id", "prompt", "prompt_ids", "messages"]
            for problem in table.select(known).to_pylist():
                self._add(problem)

    def _add(self, problem: dict[str, Any]) -> None:
        name, prompt, question = _prompt_texts(problem)
        self.names.add(name)
        bare = self.bare(problem["prompt_ids"], prompt)
        self.example = self.example or (name, bare)
        if is_rendered_chat(prompt):
            self.before[name] = sys.intern(prompt.rpartition(question)[0])
        _enter(self.exact, (prompt, bare, question), name)
        _enter(self.normal, (normal(bare), normal(question)), name)

    def bare(self, ids: Iterable[int] | None, text: str) -> str:
        """Return a prompt without its special tokens."""
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def by_prompt(self, record: Record) -> Match:
        """Find a record's problem by its prompt."""
        key = (record.prompts, record.prompt_ids, record.context)
        if key not in self._by_record:
            match = self._find(record)
            other = any(self._is_new(record.context, name) for name in match.names)
            self._by_record[key] = replace(match, is_other_chat=True) if other else match
        return self._by_record[key]

    def _is_new(self, context: tuple[str, ...], name: str) -> bool:
        """Return whether a record's prompt has messages that a problem's prompt does not have."""
        before = self.before.get(name)
        return before is not None and any(text not in before for text in context)

    def _find(self, record: Record) -> Match:
        texts = list(record.prompts)
        if record.prompt_ids is not None:
            texts += texts_of(self.bare(record.prompt_ids, ""))
        # The recorded text may include padding or a BOS token.
        bare = [self.bare(None, text) for text in record.prompts]
        whole, question = self.exact[:2], self.exact[2:]
        names = _lookup(whole, texts) or _lookup(whole, bare)
        if names:
            return Match(names)
        chats = [text for text in texts if last_user_turn(text) is not None]
        names = _lookup(question, texts) or _lookup(question, bare)
        if names:
            return Match(names, is_other_chat=bool(chats))
        close = _lookup(self.normal, [normal(text) for text in (*texts, *bare)])
        return Match(close, is_normalised=bool(close), is_other_chat=bool(close and chats))

    def groups(
        self, files: Iterable[list[Record]], advance: Advance | None = None
    ) -> tuple[dict[str, Group], Counter[str]]:
        """Assign each problem its rollouts, only those of the newest step.

        The prompt decides. Where it is several problems', or missing, a column of ids does, if no
        row's prompt contradicts it: an ``id`` may be a row number. Where the prompt is in no
        problem, the column must be ``problem_id``, or other rows' prompts must confirm it. Counts
        of a problem are left out if its rollouts are known. ``advance`` is called for each record.

        Returns:
            Records by problem_id, in the order of the files; and counts: ``recorded`` (all),
            ``unmatched`` (no problem), ``ambiguous`` (a prompt of several problems), ``disagreed``
            (the id of another problem than the prompt's), ``normalised`` (found by the normalised
            prompt alone), ``by_id`` (found by an id, with a prompt that is in no problem),
            ``other_chat`` (the question, in a chat of another template or system message),
            ``repeated`` (counts of known rollouts), ``repeated_counts`` (a problem's count twice),
            ``resumed`` (a step of the problem's in a second file), ``older`` (from an earlier step
            of the problem's) and ``stale`` (used, but from an earlier step than the import's last).

        Raises:
            LearnAlignError: if no record belongs to a problem, or two counts of one differ.
        """
        groups, counts = self.all_groups(files, advance)
        last = max(record.step for group in groups.values() for record in group)
        for name, group in groups.items():
            newest = max(record.step for record in group)
            groups[name] = [record for record in group if record.step == newest]
            counts["older"] += len(group) - len(groups[name])
            counts["stale"] += len(groups[name]) if newest < last else 0
        return groups, counts

    def all_groups(
        self, files: Iterable[list[Record]], advance: Advance | None = None
    ) -> tuple[dict[str, Group], Counter[str]]:
        """Assign each problem its rollouts of all steps; otherwise as `groups`."""
        counts: Counter[str] = Counter()
        groups: dict[str, Group] = {}
        records = [record for file in files for record in file]
        counts["recorded"] = len(records)
        for record in records:
            self.by_prompt(record)
            if advance is not None:
                advance(1)
        columns = self._trusted_columns(records, counts)
        for record in records:
            name = self._problem_of(record, columns, counts)
            if name is not None:
                groups.setdefault(name, []).append(record)
        groups, repeated = one_count(groups)
        counts["repeated_counts"] += repeated
        if not groups:
            raise self._nothing_matches(records)
        for name, group in groups.items():
            known = [record for record in group if not record.is_counted]
            if known and len(known) < len(group):
                counts["repeated"] += len(group) - len(known)
                groups[name] = known
        counts["resumed"] += num_resumed(groups)
        return groups, counts

    def _trusted_columns(
        self, records: list[Record], counts: Counter[str]
    ) -> dict[tuple[str, str], bool]:
        """Find the id columns (format, name) that no prompt contradicts; True if one confirms it.

        A record whose id names another problem than its prompt is counted.
        """
        contradicted: set[tuple[str, str]] = set()
        columns: dict[tuple[str, str], bool] = {}
        for record in records:
            match, wrong = self.by_prompt(record), []
            for column, text in record.ids.items():
                confirms = text == match.name
                key = (record.format, column)
                columns[key] = columns.get(key, column == "problem_id") or confirms
                if match.names and text in self.names and text not in match.names:
                    wrong.append(key)
            contradicted.update(wrong)
            counts["disagreed"] += bool(wrong)
        return {key: sure for key, sure in columns.items() if key not in contradicted}

    def _problem_of(
        self, record: Record, columns: Mapping[tuple[str, str], bool], counts: Counter[str]
    ) -> str | None:
        """Return the problem of a record, or count why it has none."""
        match = self.by_prompt(record)
        is_unknown = bool(record.prompts or record.prompt_ids) and not match.names
        named = []
        for column in IDS:
            sure = columns.get((record.format, column))
            if sure is not None and (sure or not is_unknown):
                named += [name for name in [record.ids.get(column)] if name in self.names]
        if match.name is not None:
            counts["other_chat"] += match.is_other_chat
            counts["normalised"] += match.is_normalised and match.name not in named
            return match.name
        if match.names:
            name = next((name for name in named if name in match.names), None)
            counts["ambiguous"] += name is None
            return name
        counts["unmatched"] += not named
        counts["by_id"] += is_unknown and bool(named)
        return named[0] if named else None

    def _nothing_matches(self, records: list[Record]) -> LearnAlignError:
        first = next(iter(records), None)
        name, prompt = self.example or ("none", "none")
        theirs = "nothing" if first is None else _describe(first.ids, first.prompts)
        location = "" if first is None else f" ({first.location})"
        rows = len({record.location for record in records})
        ours = _describe({"problem_id": name}, [prompt])
        return LearnAlignError(
            f"0 of {rows} rows match a problem: the recorded rollouts have {theirs}{location}, "
            f"the problems {ours}",
            expected="rows with a problem's id, its question, or its whole prompt (with or without "
            "special tokens)",
            do="add a column problem_id, or build the same prompts as the rollouts have "
            "(--template, --system, --instruction)",
        )


def _enter(known: list[Known], texts: Iterable[str], name: str) -> None:
    for problems, text in zip(known, texts, strict=True):
        other = problems.setdefault(_digest(text), name)
        if isinstance(other, set):
            other.add(name)
        elif other != name:
            problems[_digest(text)] = {other, name}


def _lookup(known: list[Known], texts: list[str]) -> frozenset[str]:
    """Find the problem of one of the texts; several only if each text is shared."""
    keys = [_digest(text) for text in texts]
    found = [problems[key] for problems in known for key in keys if key in problems]
    single = next((name for name in found if isinstance(name, str)), None)
    return frozenset([single] if single is not None else next(iter(found), ()))


def _prompt_texts(problem: Mapping[str, Any]) -> tuple[str, str, str]:
    question = question_of(problem["messages"])
    return problem["problem_id"], problem["prompt"] or question, question


def _digest(text: str) -> bytes:
    """Hash a text without surrounding blanks; pools are large, and prompts long."""
    return blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()


def _describe(ids: Mapping[str, str], prompts: Iterable[str]) -> str:
    parts = [f"{name} {value!r}" for name, value in ids.items()]
    parts += [f"the prompt {_shorten(text.strip())!r}" for text in prompts]
    return ", ".join(parts) or "neither ids nor prompts"


def _shorten(text: str) -> str:
    """Cut the middle out of a long text; prompts often begin alike."""
    return text if len(text) < 160 else f"{text[:50]} ... {text[-100:]}"
