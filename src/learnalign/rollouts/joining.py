"""Match recorded rollouts to problems, by id or by prompt."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.problems.chats import question_of
from learnalign.rollouts.records import IDS, Record

Group = list[Record]


class Join:
    """Finds a problem of the pool by its id, its whole prompt, or its question.

    A prompt is matched by its token ids, its text, or its text without special tokens, which is
    what verl records. A text that two problems share matches neither.

    Args:
        pool: Tables with the columns ``problem_id``, ``prompt``, ``prompt_ids``, ``messages``.
        tokenizer: Tokenizer of the model that these prompts are for.
    """

    def __init__(self, pool: Iterable[pa.Table], tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.names: set[str] = set()
        self.by_text: list[dict[bytes, str | None]] = [{}, {}, {}]
        self.example: tuple[str, str] | None = None
        self._by_record: dict[tuple[Any, Any], str | None] = {}
        for table in pool:
            known = ["problem_id", "prompt", "prompt_ids", "messages"]
            for problem in table.select(known).to_pylist():
                self._add(problem)

    def _add(self, problem: dict[str, Any]) -> None:
        name, prompt, question = _prompt_texts(problem)
        self.names.add(name)
        bare = self.bare(problem["prompt_ids"], prompt)
        self.example = self.example or (name, bare)
        for texts, text in zip(self.by_text, (prompt, bare, question), strict=True):
            key = _digest(text)
            texts[key] = None if texts.get(key, name) != name else name

    def bare(self, ids: Iterable[int] | None, text: str) -> str:
        """Return a prompt without its special tokens."""
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def by_prompt(self, record: Record) -> str | None:
        """Find a record's problem by its prompt."""
        key = (record.prompts, record.prompt_ids)
        if key not in self._by_record:
            texts = list(record.prompts)
            if record.prompt_ids is not None:
                texts.append(self.bare(record.prompt_ids, ""))
            # The recorded text may include padding or a BOS token.
            self._by_record[key] = self._by_text(texts) or self._by_text(
                [self.bare(None, text) for text in record.prompts]
            )
        return self._by_record[key]

    def _by_text(self, texts: list[str]) -> str | None:
        keys = [_digest(text) for text in texts]
        matches = (known[key] for known in self.by_text for key in keys if key in known)
        return next((name for name in matches if name is not None), None)

    def groups(self, files: Iterable[list[Record]]) -> tuple[dict[str, Group], Counter[str]]:
        """Assign each problem its rollouts, only those of the newest step.

        An id column is used in a file only if no row's prompt contradicts it: an ``id`` may be a
        row number. Otherwise the prompt decides.

        Returns:
            Records by problem_id, in the order of the files; and counts: ``recorded`` (all),
            ``unmatched`` (no problem), ``older`` (from an earlier step) and ``disagreed`` (rows
            whose id and prompt name different problems).

        Raises:
            LearnAlignError: if no record belongs to a problem.
        """
        counts: Counter[str] = Counter()
        groups: dict[str, Group] = {}
        files = list(files)
        for records in files:
            for record, name in self._match(records, counts):
                counts["recorded"] += 1
                if name is None:
                    counts["unmatched"] += 1
                else:
                    groups.setdefault(name, []).append(record)
        if not groups:
            raise self._nothing_matches(files)
        for name, group in groups.items():
            newest = max(record.step for record in group)
            groups[name] = [record for record in group if record.step == newest]
            counts["older"] += len(group) - len(groups[name])
        return groups, counts

    def _match(
        self, records: list[Record], counts: Counter[str]
    ) -> Iterator[tuple[Record, str | None]]:
        matches = [self.by_prompt(record) for record in records]
        trusted = list(IDS)
        for column in IDS:
            wrong = sum(
                name is not None
                and record.ids.get(column) not in (None, name)
                and record.ids[column] in self.names
                for record, name in zip(records, matches, strict=True)
            )
            if wrong:
                trusted.remove(column)
                counts["disagreed"] += wrong
        for record, name in zip(records, matches, strict=True):
            ids = (record.ids[column] for column in trusted if column in record.ids)
            yield record, name or next((i for i in ids if i in self.names), None)

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


def warnings(counts: Mapping[str, int]) -> list[str]:
    """Return warnings about recorded rollouts.

    Example:
        >>> warnings({"recorded": 640, "recorded_older": 320})
        ["320 of 640 recorded rollouts are from earlier steps: only each problem's newest are used"]
    """
    texts = {
        "unmatched": "match no problem of the pool and were left out",
        "older": "are from earlier steps: only each problem's newest are used",
        "disagreed": "have the id of one problem and the prompt of another: the prompt decided",
        "nonfinite": "have a reward that is NaN or Inf, which is ignored",
        "rescaled": "have a reward of 10, which was read as 1 (open-instruct's scale)",
    }
    messages = [
        f"{counts[f'recorded_{name}']:,} of {counts.get('recorded', 0):,} recorded rollouts {text}"
        for name, text in texts.items()
        if counts.get(f"recorded_{name}")
    ]
    if empty := counts.get("recorded_empty"):
        reason = "null, failed or multi-turn"
        messages.append(f"{empty:,} recorded completions are {reason} and were left out")
    return messages


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
