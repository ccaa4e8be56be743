"""Rollouts that exist already: looked up by problem, never sampled again."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from learnalign.config import RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.endings import Endings
from learnalign.rollouts.engine import Engine, Progress
from learnalign.rollouts.joining import Group, Join
from learnalign.rollouts.records import Record, read_records
from learnalign.tables import ROLLOUTS


class RecordedEngine(Engine):
    """Gives each problem the rollouts that files hold for it.

    `records` says what a row may be, `joining` to which problem it belongs. ``token_ids`` are taken
    where there are some; otherwise the text is tokenised, with the token behind it that ends a
    response.

    Args:
        config: Its ``recorded`` files; ``num_rollouts`` is the most that are taken of a problem.
        tokenizer: Of the model whose gradients will be taken.
        pool: Gives the tables of all problems, to find out whose each row is; without it, those of
            a call are all.
        endings: What ends a response.
        vocabulary: How many tokens the model knows; as many as the tokenizer if None.

    Raises:
        LearnAlignError: for no file, a broken one, or one without completions.
    """

    def __init__(
        self,
        config: RolloutConfig,
        tokenizer: Any,
        *,
        pool: Callable[[], Iterable[pa.Table]] | None = None,
        endings: Endings | None = None,
        vocabulary: int | None = None,
    ) -> None:
        super().__init__()
        if not config.recorded:
            raise LearnAlignError(
                "the engine 'recorded' has no files",
                expected="files with completions",
                do="name them with --recorded",
            )
        self.config, self.tokenizer, self.pool = config, tokenizer, pool
        self.endings = endings or Endings(tokenizer)
        self.vocabulary = vocabulary or len(tokenizer)
        self.files, self.read = read_records(config.recorded, reward_column=config.recorded_reward)
        self.groups: dict[str, Group] | None = None
        self.said: Counter[str] = Counter()
        self.first = ""

    def sample(
        self,
        problems: pa.Table,
        progress: Progress | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Give the ROLLOUTS table; a problem with fewer than two rollouts joins ``failures``.

        Raises:
            LearnAlignError: if no row belongs to a problem, or a token is not in the vocabulary.
        """
        wanted = range(self.config.num_rollouts) if samples is None else samples
        groups = self._joined(problems)
        needed = min(2, self.config.num_rollouts)
        rows: list[dict[str, Any]] = []
        for problem in problems.select(["problem_id", "prompt_ids"]).to_pylist():
            name = problem["problem_id"]
            if name == self.first and 0 in wanted:  # what is said of all files is said once
                self.counts.update(self.said)
            found = groups.get(name, [])[: self.config.num_rollouts]
            if len(found) < needed:
                detail = f"{len(found)} recorded rollouts; a group needs {needed}"
                self.failures.append((name, "too_few_rollouts", detail))
            else:
                rows += [
                    {"problem_id": name, "sample": g, **self._rollout(found[g], problem)}
                    for g in wanted
                    if g < len(found)
                ]
            if progress is not None:
                progress(1)
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    def _joined(self, problems: pa.Table) -> dict[str, Group]:
        """Find each problem's rollouts, once for the whole pool."""
        if self.groups is not None:
            return self.groups
        join = Join([problems] if self.pool is None else self.pool(), self.tokenizer)
        groups, counts = join.groups(self.files)
        self.first = "" if join.example is None else join.example[0]
        self.said = Counter({f"recorded_{name}": n for name, n in (self.read + counts).items()})
        self.said["recorded"] = self.said.pop("recorded_recorded")
        if self.pool is not None:
            self.groups = groups
        return groups

    def _rollout(self, record: Record, problem: dict[str, Any]) -> dict[str, Any]:
        """Fill in the token ids where there are none, or the text."""
        if record.reward is not None and not math.isfinite(record.reward):
            self.counts["recorded_nonfinite"] += 1
        finish, text, ids = record.finish_reason, record.completion, record.token_ids
        if ids is None:
            text, ids, finish = self._tokenised(text or "", finish, problem["prompt_ids"])
        elif finish is None:
            cut = len(ids) >= self.config.max_tokens and ids[-1] not in self.endings.all
            finish = "length" if cut else "stop"
        self._check(ids, record.place)
        if text is None:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return {
            "completion": text,
            "token_ids": ids,
            "logprobs": record.logprobs,
            "finish_reason": finish,
            "recorded_reward": record.reward,
        }

    def _tokenised(
        self, text: str, finish: str | None, prompt_ids: list[int] | None
    ) -> tuple[str, list[int], str]:
        """Tokenise a text; the token that ends a response goes behind it where it stood."""
        end = None
        if finish != "length" and not self.config.stop:
            end = self.endings.after(prompt_ids)
        for token in self.endings.all:  # the text may have been written down with its end
            word = self.tokenizer.convert_ids_to_tokens(token)
            if word and text.rstrip().endswith(word):
                text, end, finish = text.rstrip().removesuffix(word), token, "stop"
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) >= self.config.max_tokens:
            return text, ids[: self.config.max_tokens], "length"
        return text, ids if end is None else [*ids, end], finish or "stop"

    def _check(self, ids: list[int], place: str) -> None:
        beyond = max(ids, default=0)
        if beyond >= self.vocabulary:
            raise LearnAlignError(
                f"{place}: the token {beyond} is none of the model's {self.vocabulary}",
                expected="token_ids of the model whose gradients are taken",
                do="select with the model that sampled them, or leave token_ids out",
            )
