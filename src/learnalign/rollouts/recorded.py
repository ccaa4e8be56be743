"""The engine ``recorded``: rollouts that already exist, looked up by problem."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from learnalign.config import RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.endings import Endings
from learnalign.rollouts.engine import Engine
from learnalign.rollouts.imports.fitting import fitted
from learnalign.rollouts.imports.joining import Group, Join
from learnalign.rollouts.imports.reading import read_records
from learnalign.rollouts.imports.record import Record
from learnalign.tables import ROLLOUTS
from learnalign.terminal.progress import Advance, Progress


class RecordedEngine(Engine):
    """Returns the rollouts that files contain for each problem.

    `imports` reads the files and finds the problem of each row. ``token_ids`` are used as they
    are; if a row has none, its text is tokenised and the end token appended. Of counts there are
    only rewards: their rollouts have neither, and all of a problem's are returned.

    Args:
        config: Names the ``recorded`` files; ``num_rollouts`` is the maximum per problem.
        tokenizer: Tokenizer of the model whose gradients are computed.
        pool: Returns the tables of all problems, to which the rows are matched; if None, rows are
            matched to the problems of each call.
        endings: The tokens that end a response.
        vocabulary: Number of tokens in the model's vocabulary; the tokenizer's if None.
        context: Maximum number of tokens that the model can read; None if unknown.
        model: Path or hub name of that model, to which the recorded names are compared.
        progress: Shows reading and matching if they take longer than two seconds.

    Raises:
        LearnAlignError: if there is no file, or a file is broken or has no completions.
    """

    def __init__(
        self,
        config: RolloutConfig,
        tokenizer: Any,
        *,
        pool: Callable[[], Iterable[pa.Table]] | None = None,
        endings: Endings | None = None,
        vocabulary: int | None = None,
        context: int | None = None,
        model: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        if not config.recorded:
            raise LearnAlignError(
                "the engine 'recorded' has no files",
                expected="files with completions",
                do="pass them with --recorded",
            )
        self.config, self.tokenizer, self.pool, self.model = config, tokenizer, pool, model
        self.endings = endings or Endings(tokenizer)
        self.vocabulary, self.context = vocabulary or len(tokenizer), context
        self.files, self.read = read_records(
            config.recorded,
            format_name=config.recorded_format,
            reward_column=config.recorded_reward,
            scale=config.recorded_scale,
            progress=progress,
        )
        self.progress = progress or Progress("none")
        self.groups: dict[str, Group] | None = None
        self.file_counts: Counter[str] = Counter()
        self.first_id = ""

    def sample(
        self,
        problems: pa.Table,
        progress: Advance | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Return the ROLLOUTS table; problems with fewer than two rollouts go to ``failures``.

        Raises:
            LearnAlignError: if no row belongs to a problem, a token is not in the vocabulary, or a
                rollout is longer than the context.
        """
        groups = self._joined(problems)
        needed = min(2, self.config.num_rollouts)
        rows: list[dict[str, Any]] = []
        for problem in problems.select(["problem_id", "prompt_ids"]).to_pylist():
            name = problem["problem_id"]
            if name == self.first_id and (samples is None or 0 in samples):
                self.counts.update(self.file_counts)  # only once
            group = groups.get(name, [])
            if len(group) < needed:
                detail = f"{len(group)} recorded rollouts; a group needs {needed}"
                self.failures.append((name, "too_few_rollouts", detail))
            else:
                rows += [
                    {"problem_id": name, "sample": g, **self._rollout(group[g], problem)}
                    for g in (range(len(group)) if samples is None else samples)
                    if g < len(group)
                ]
            if progress is not None:
                progress(1)
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    @property
    def has_counts(self) -> bool:
        """Whether some rollouts have neither text nor tokens."""
        return any(record.is_counted for file in self.files for record in file)

    def _joined(self, problems: pa.Table) -> dict[str, Group]:
        """Find each problem's rollouts; with a pool, only once."""
        if self.groups is not None:
            return self.groups
        join = Join([problems] if self.pool is None else self.pool(), self.tokenizer)
        total = sum(map(len, self.files))
        with self.progress.late("matched", total, "rollouts") as advance:
            groups, counts = join.groups(self.files, advance)
        groups, misfits = fitted(groups, self.config, model=self.model)
        counts += misfits
        self.first_id = "" if join.example is None else join.example[0]
        self.file_counts = Counter(
            {f"recorded_{name}": n for name, n in (self.read + counts).items()}
        )
        self.file_counts["recorded"] = self.file_counts.pop("recorded_recorded")
        if self.pool is not None:
            self.groups = groups
        return groups

    def _rollout(self, record: Record, problem: dict[str, Any]) -> dict[str, Any]:
        """Fill in missing token ids or text."""
        if record.reward is not None and not math.isfinite(record.reward):
            self.counts["recorded_nonfinite"] += 1
        if record.is_counted:
            nothing = dict.fromkeys(("completion", "token_ids", "logprobs", "finish_reason"))
            return nothing | {"recorded_reward": record.reward}
        finish, text, ids = record.finish_reason, record.completion, record.token_ids
        if ids is None:
            self.counts["recorded_tokenised"] += 1
            text, ids, finish = self._tokenise(text or "", finish, problem["prompt_ids"])
        elif finish is None:
            cut = len(ids) == self.config.max_tokens and ids[-1] not in self.endings.all
            finish = "length" if cut else "stop"
        ended = bool(ids) and ids[-1] in self.endings.all
        self.counts["recorded_longer"] += len(ids) - ended > self.config.max_tokens
        self._check(ids, len(problem["prompt_ids"] or ()), record.location)
        if text is None:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return {
            "completion": text,
            "token_ids": ids,
            "logprobs": record.logprobs,
            "finish_reason": finish,
            "recorded_reward": record.reward,
        }

    def _tokenise(
        self, text: str, finish: str | None, prompt_ids: list[int] | None
    ) -> tuple[str, list[int], str]:
        """Tokenise a text, and append the end token unless the response was cut.

        It was if the file says so, or if it has exactly the maximum length without an end.
        """
        end = None
        if finish != "length" and not self.config.stop:
            end = self.endings.after(prompt_ids)
        for token in self.endings.all:  # the recorded text may include the end token
            word = self.tokenizer.convert_ids_to_tokens(token)
            if word and text.rstrip().endswith(word):
                text, end, finish = text.rstrip().removesuffix(word), token, "stop"
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if finish is None and len(ids) == self.config.max_tokens:
            return text, ids, "length"
        return text, ids if end is None else [*ids, end], finish or "stop"

    def _check(self, ids: list[int], prompt: int, location: str) -> None:
        largest = max(ids, default=0)
        if largest >= self.vocabulary:
            raise LearnAlignError(
                f"{location}: token id {largest} is not among the model's {self.vocabulary} tokens",
                expected="token_ids of the model whose gradients are computed",
                do="select with the model that sampled them, or leave token_ids out",
            )
        if self.context is not None and prompt + len(ids) > self.context:
            raise LearnAlignError(
                f"{location}: prompt and response have {prompt + len(ids):,} tokens, and the "
                f"model's context {self.context:,}",
                expected="rollouts of the model whose gradients are computed",
                do="select with the model that sampled them, or leave the row out",
            )
