"""Rollouts that exist already: looked up by problem, never sampled again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from learnalign.config import RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.rollouts.engine import Engine, Progress
from learnalign.tables import ROLLOUTS

_IDS = ("problem_id", "id")
_PROMPTS = ("prompt", "question", "problem", "input")
_TEXTS = ("completion", "completions", "response", "responses", "output", "outputs")
_REWARDS = ("reward", "rewards", "score", "scores", "recorded_reward")


class RecordedEngine(Engine):
    """Gives each problem the rollouts that a file holds for it.

    A row is one completion, or a list of them, with a reward, or a list of them, if there are any.
    It is joined to its problem by ``problem_id`` (or ``id``), else by the question or the whole
    prompt. Completions may be text or a chat's last message. ``token_ids`` and ``logprobs`` are
    taken where there are some; otherwise the text is tokenised, with the end token behind it.

    Args:
        config: Its ``recorded`` files; ``num_rollouts`` is the most that are taken of a problem.
        tokenizer: Of the model whose gradients will be taken.

    Raises:
        LearnAlignError: for no file, a broken one, or one without completions.
    """

    def __init__(self, config: RolloutConfig, tokenizer: Any) -> None:
        super().__init__()
        if not config.recorded:
            raise LearnAlignError(
                "the engine 'recorded' has no files",
                expected="JSONL or Parquet with completions",
                do="name them with --recorded",
            )
        self.config, self.tokenizer = config, tokenizer
        self.found: dict[str, list[dict[str, Any]]] = {}
        for path in config.recorded:
            for number, row in enumerate(_rows(path), 1):
                self._add(row, f"{path}, row {number}")

    def sample(
        self,
        problems: pa.Table,
        progress: Progress | None = None,
        *,
        samples: range | None = None,
    ) -> pa.Table:
        """Give the ROLLOUTS table; a problem with fewer than two rollouts joins ``failures``."""
        wanted = range(self.config.num_rollouts) if samples is None else samples
        rows: list[dict[str, Any]] = []
        columns = ["problem_id", "prompt", "messages"]
        for problem in problems.select(columns).to_pylist():
            name = problem["problem_id"]
            keys = (name, problem["prompt"], problem["messages"][-1]["content"])
            found = next((self.found[key] for key in keys if key in self.found), [])
            found = found[: self.config.num_rollouts]
            needed = min(2, self.config.num_rollouts)
            if len(found) < needed:
                detail = f"{len(found)} recorded rollouts; a group needs {needed}"
                self.failures.append((name, "too_few_rollouts", detail))
            else:
                rows += [
                    {"problem_id": name, "sample": g, **self._rollout(found[g])}
                    for g in wanted
                    if g < len(found)
                ]
            if progress is not None:
                progress(1)
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)

    def _add(self, row: Mapping[str, Any], place: str) -> None:
        key = _first(row, _IDS)
        key = _question(_first(row, _PROMPTS)) if key is None else str(key)
        texts = _first(row, _TEXTS)
        if key is None or texts is None:
            raise LearnAlignError(
                f"{place}: its columns are {', '.join(row)}",
                expected=f"one of {', '.join(_IDS + _PROMPTS)}, and one of {', '.join(_TEXTS)}",
                do="rename the columns",
            )
        several = isinstance(texts, list) and not _is_chat(texts)
        rewards = _first(row, _REWARDS)
        texts = texts if several else [texts]
        rewards = rewards if several and isinstance(rewards, list) else [rewards] * len(texts)
        if len(rewards) != len(texts):
            raise LearnAlignError(
                f"{place}: {len(texts)} completions and {len(rewards)} rewards",
                expected="as many of one as of the other",
                do="mend the row",
            )
        group = self.found.setdefault(key, [])
        for text, reward in zip(texts, rewards, strict=True):
            group.append(
                {
                    "completion": text[-1]["content"] if isinstance(text, list) else str(text),
                    "recorded_reward": None if reward is None else float(reward),
                    "token_ids": None if several else row.get("token_ids"),
                    "logprobs": None if several else row.get("logprobs"),
                    "finish_reason": None if several else row.get("finish_reason"),
                }
            )

    def _rollout(self, rollout: dict[str, Any]) -> dict[str, Any]:
        """Fill in the token ids where there are none."""
        finish = rollout["finish_reason"] or "stop"
        ids = rollout["token_ids"]
        if ids is None:
            ids = self.tokenizer(rollout["completion"], add_special_tokens=False)["input_ids"]
            ids = ids[: self.config.max_tokens]
            if len(ids) == self.config.max_tokens:
                finish = "length"
            elif finish == "stop" and not self.config.stop:
                ids = [*ids, self.tokenizer.eos_token_id]
        return rollout | {"token_ids": ids, "finish_reason": finish}


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        raise LearnAlignError(f"got no file {path}", expected="JSONL or Parquet", do="check it")
    if path.suffix == ".parquet":
        try:
            yield from pq.read_table(path).to_pylist()
        except pa.ArrowException as error:
            raise LearnAlignError(f"{path} is no Parquet file: {error}", do="copy it") from error
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else None
            except json.JSONDecodeError as error:
                raise LearnAlignError(
                    f"{path}, line {number}: broken JSON ({error.msg})",
                    expected="one JSON object a line",
                    do="mend or remove the line",
                ) from error
            if row is not None:
                yield row


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _question(prompt: Any) -> str | None:
    if _is_chat(prompt):
        return str(prompt[-1]["content"])
    return prompt if isinstance(prompt, str) else None


def _is_chat(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], Mapping)
