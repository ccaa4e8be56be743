"""Match recorded rollouts to problems, by id or by prompt."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.problems.chats import question_of
from learnalign.problems.texts import normal
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.rows import IDS

Group = list[Record]


@dataclass(frozen=True)
class Match:
    """What a prompt says of the problem it belongs to."""

    exact: str | None = None
    normalised: str | None = None
    """The problem with this prompt, apart from case, blanks and punctuation."""
    ambiguous: bool = False
    """Whether several problems have it."""


class Join:
    """Finds a problem of the pool by its id, its whole prompt, or its question.

    A prompt is matched by its token ids, its text, or its text without special tokens, which is
    what verl records; and where neither that nor an id finds a problem, by its normalised text
    (`problems.texts.normal`). A text that two problems share matches neither.

    Args:
        pool: Tables with the columns ``problem_id``, ``prompt``, ``prompt_ids``, ``messages``.
        tokenizer: Tokenizer of the model that these prompts are for.
    """

    def __init__(self, pool: Iterable[pa.Table], tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.names: set[str] = set()
        self.exact: list[dict[bytes, str | None]] = [{}, {}, {}]
        """Problems by the whole prompt, the prompt without special tokens, and the question; None
        for a text of several."""
        self.normal: list[dict[bytes, str | None]] = [{}, {}]
        """Problems by the normalised prompt and question."""
        self.example: tuple[str, str] | None = None
        self._by_record: dict[tuple[Any, Any], Match] = {}
        for table in pool:
            known = ["problem_id", "prompt", "prompt_ids", "messages"]
            for problem in table.select(known).to_pylist():
                self._add(problem)

    def _add(self, problem: dict[str, Any]) -> None:
        name, prompt, question = _prompt_texts(problem)
        self.names.add(name)
        bare = self.bare(problem["prompt_ids"], prompt)
        self.example = self.example or (name, bare)
        _enter(self.exact, (prompt, bare, question), name)
        _enter(self.normal, (normal(bare), normal(question)), name)

    def bare(self, ids: Iterable[int] | None, text: str) -> str:
        """Return a prompt without its special tokens."""
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def by_prompt(self, record: Record) -> Match:
        """Find a record's problem by its prompt."""
        key = (record.prompts, record.prompt_ids)
        if key not in self._by_record:
            self._by_record[key] = self._find(record)
        return self._by_record[key]

    def _find(self, record: Record) -> Match:
        texts = list(record.prompts)
        if record.prompt_ids is not None:
            texts.append(self.bare(record.prompt_ids, ""))
        # The recorded text may include padding or a BOS token.
        bare = [self.bare(None, text) for text in record.prompts]
        found = _lookup(self.exact, texts) or _lookup(self.exact, bare)
        if found is not None:
            return Match(exact=found)
        unclear = _is_known(self.exact, [*texts, *bare])
        forms = [normal(text) for text in (*texts, *bare)]
        close = None if unclear else _lookup(self.normal, forms)
        unclear = unclear or (close is None and _is_known(self.normal, forms))
        return Match(normalised=close, ambiguous=unclear)

    def groups(self, files: Iterable[list[Record]]) -> tuple[dict[str, Group], Counter[str]]:
        """Assign each problem its rollouts, only those of the newest step.

        An id column is used in a file only if no row's prompt contradicts it: an ``id`` may be a
        row number. Otherwise the prompt decides. Counts of a problem are left out if its rollouts
        are known.

        Returns:
            Records by problem_id, in the order of the files; and counts: ``recorded`` (all),
            ``unmatched`` (no problem), ``ambiguous`` (a prompt of several problems),
            ``normalised`` (found by the normalised prompt alone), ``disagreed`` (rows whose id and
            prompt name different problems), ``repeated`` (counts of known rollouts), ``older``
            (from an earlier step of the problem's) and ``stale`` (used, but from an earlier
            step than the import's last).

        Raises:
            LearnAlignError: if no record belongs to a problem.
        """
        files = list(files)
        groups, counts = self.all_groups(files)
        last = max(record.step for group in groups.values() for record in group)
        for name, group in groups.items():
            newest = max(record.step for record in group)
            groups[name] = [record for record in group if record.step == newest]
            counts["older"] += len(group) - len(groups[name])
            counts["stale"] += len(groups[name]) if newest < last else 0
        return groups, counts

    def all_groups(self, files: Iterable[list[Record]]) -> tuple[dict[str, Group], Counter[str]]:
        """Assign each problem its rollouts of all steps; otherwise as `groups`."""
        counts: Counter[str] = Counter()
        groups: dict[str, Group] = {}
        files = list(files)
        for records in files:
            counts["recorded"] += len(records)
            for record, name in self._match(records, counts):
                if name is not None:
                    groups.setdefault(name, []).append(record)
        if not groups:
            raise self._nothing_matches(files)
        for name, group in groups.items():
            known = [record for record in group if not record.is_counted]
            if known and len(known) < len(group):
                counts["repeated"] += len(group) - len(known)
                groups[name] = known
        return groups, counts

    def _match(
        self, records: list[Record], counts: Counter[str]
    ) -> Iterator[tuple[Record, str | None]]:
        matches = [self.by_prompt(record) for record in records]
        names = [match.exact for match in matches]
        trusted = list(IDS)
        for column in IDS:
            wrong = sum(
                name is not None
                and record.ids.get(column) not in (None, name)
                and record.ids[column] in self.names
                for record, name in zip(records, names, strict=True)
            )
            if wrong:
                trusted.remove(column)
                counts["disagreed"] += wrong
        for record, match in zip(records, matches, strict=True):
            ids = (record.ids[column] for column in trusted if column in record.ids)
            name = match.exact or next((i for i in ids if i in self.names), None)
            if name is None and match.normalised is not None:
                counts["normalised"] += 1
                name = match.normalised
            elif name is None:
                counts["ambiguous" if match.ambiguous else "unmatched"] += 1
            yield record, name

    def _nothing_matches(self, files: list[list[Record]]) -> LearnAlignError:
        records = [record for part in files for record in part]
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


def _enter(known: list[dict[bytes, str | None]], texts: Iterable[str], name: str) -> None:
    for problems, text in zip(known, texts, strict=True):
        key = _digest(text)
        problems[key] = None if problems.get(key, name) != name else name


def _lookup(known: list[dict[bytes, str | None]], texts: list[str]) -> str | None:
    keys = [_digest(text) for text in texts]
    matches = (problems[key] for problems in known for key in keys if key in problems)
    return next((name for name in matches if name is not None), None)


def _is_known(known: list[dict[bytes, str | None]], texts: list[str]) -> bool:
    return any(_digest(text) in problems for problems in known for text in texts)


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
