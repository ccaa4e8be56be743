"""Which problem a recorded rollout belongs to: by its id, or by what the model was asked."""

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
    """The problems of a pool, found by id, by the whole prompt, or by the question.

    A prompt is known by its token ids, by its text, and by its text without special tokens, which
    is how verl writes it down. Two problems that share a text are not found by it.

    Args:
        pool: Tables with the columns ``problem_id``, ``prompt``, ``prompt_ids``, ``messages``.
        tokenizer: Of the model whose prompts these are.
    """

    def __init__(self, pool: Iterable[pa.Table], tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.names: set[str] = set()
        self.by_text: list[dict[bytes, str | None]] = [{}, {}, {}]
        self.example: tuple[str, str] | None = None
        self._found: dict[tuple[Any, Any], str | None] = {}
        for table in pool:
            known = ["problem_id", "prompt", "prompt_ids", "messages"]
            for problem in table.select(known).to_pylist():
                self._add(problem)

    def _add(self, problem: dict[str, Any]) -> None:
        name, prompt, question = _asked(problem)
        self.names.add(name)
        bare = self.bare(problem["prompt_ids"], prompt)
        self.example = self.example or (name, bare)
        for texts, text in zip(self.by_text, (prompt, bare, question), strict=True):
            key = _digest(text)
            texts[key] = None if texts.get(key, name) != name else name

    def bare(self, ids: Iterable[int] | None, text: str) -> str:
        """Give a prompt without its special tokens."""
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def by_prompt(self, record: Record) -> str | None:
        """Find a record's problem by what the model was asked."""
        asked = (record.prompts, record.prompt_ids)
        if asked not in self._found:
            texts = list(record.prompts)
            if record.prompt_ids is not None:
                texts.append(self.bare(record.prompt_ids, ""))
            # Padding, or a begin token, may be written down too.
            self._found[asked] = self._by_text(texts) or self._by_text(
                [self.bare(None, text) for text in record.prompts]
            )
        return self._found[asked]

    def _by_text(self, texts: list[str]) -> str | None:
        keys = [_digest(text) for text in texts]
        found = (known[key] for known in self.by_text for key in keys if key in known)
        return next((name for name in found if name is not None), None)

    def groups(self, files: Iterable[list[Record]]) -> tuple[dict[str, Group], Counter[str]]:
        """Give each problem its rollouts, those of the newest step alone.

        A column of ids counts in a file where no row's prompt says otherwise: an ``id`` may count
        rows. Where it does not count, the prompt decides.

        Returns:
            Records by problem_id, in the order of the files; and how many were ``recorded``, belong
            to no problem (``unmatched``), or to an earlier step (``older``), and rows whose id and
            prompt disagreed (``disagreed``).

        Raises:
            LearnAlignError: if no record belongs to a problem.
        """
        counts: Counter[str] = Counter()
        groups: dict[str, Group] = {}
        files = list(files)
        for records in files:
            for record, name in self._named(records, counts):
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

    def _named(
        self, records: list[Record], counts: Counter[str]
    ) -> Iterator[tuple[Record, str | None]]:
        asked = [self.by_prompt(record) for record in records]
        trusted = list(IDS)
        for column in IDS:
            wrong = sum(
                name is not None
                and record.ids.get(column) not in (None, name)
                and record.ids[column] in self.names
                for record, name in zip(records, asked, strict=True)
            )
            if wrong:
                trusted.remove(column)
                counts["disagreed"] += wrong
        for record, name in zip(records, asked, strict=True):
            ids = (record.ids[column] for column in trusted if column in record.ids)
            yield record, name or next((i for i in ids if i in self.names), None)

    def _nothing_matches(self, files: list[list[Record]]) -> LearnAlignError:
        records = [record for part in files for record in part]
        first = next(iter(records), None)
        name, prompt = self.example or ("none", "none")
        seen = "nothing" if first is None else _described(first.ids, first.prompts)
        where = "" if first is None else f" ({first.place})"
        rows = len({record.place for record in records})
        ours = _described({"problem_id": name}, [prompt])
        return LearnAlignError(
            f"0 of {rows} rows match a problem: the recorded rollouts have {seen}{where}, "
            f"the problems {ours}",
            expected="rows with a problem's id, its question, or its whole prompt (with or without "
            "special tokens)",
            do="put the id into a column problem_id, or build the prompts as those of the rollouts "
            "were (--template, --system, --instruction)",
        )


def warnings(counts: Mapping[str, int]) -> list[str]:
    """Say what the user should know of recorded rollouts.

    Example:
        >>> warnings({"recorded": 640, "recorded_older": 320})
        ["320 of 640 recorded rollouts are of earlier steps: each problem's newest ones were taken"]
    """
    texts = {
        "unmatched": "belong to no problem of the pool, and were left out",
        "older": "are of earlier steps: each problem's newest ones were taken",
        "disagreed": "name one problem by an id and another by the prompt: the prompt decided",
        "nonfinite": "have a reward that is NaN or infinite: it does not count",
        "rescaled": "have a reward of 10, which was read as 1 (open-instruct's scale)",
    }
    told = [
        f"{counts[f'recorded_{name}']:,} of {counts.get('recorded', 0):,} recorded rollouts {text}"
        for name, text in texts.items()
        if counts.get(f"recorded_{name}")
    ]
    if empty := counts.get("recorded_empty"):
        what = "null, failed or of several turns"
        told.append(f"{empty:,} recorded completions are {what}, and were left out")
    return told


def _asked(problem: Mapping[str, Any]) -> tuple[str, str, str]:
    question = question_of(problem["messages"])
    return problem["problem_id"], problem["prompt"] or question, question


def _digest(text: str) -> bytes:
    """Hash a text without the blanks around it; pools are large, and prompts long."""
    return blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()


def _described(ids: Mapping[str, str], prompts: Iterable[str]) -> str:
    told = [f"{name} {value!r}" for name, value in ids.items()]
    told += [f"the prompt {_short(text.strip())!r}" for text in prompts]
    return ", ".join(told) or "neither ids nor prompts"


def _short(text: str) -> str:
    """Leave out the middle of a long text: prompts begin alike."""
    return text if len(text) < 160 else f"{text[:50]} ... {text[-100:]}"
