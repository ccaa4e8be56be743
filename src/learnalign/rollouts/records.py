"""Read files of recorded rollouts into records: possible problem, completion, reward."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.columns import COMPLETIONS
from learnalign.problems.nested import value
from learnalign.problems.sources import read_source
from learnalign.rollouts.dumps import plain_rows
from learnalign.rollouts.values import (
    completion_of,
    exact_of,
    is_message_list,
    reward_of,
    text_of,
    tokens_of,
)

IDS = ("problem_id", "id", "unique_id", "uid", "example_id", "task_id")
PROMPTS = ("prompt", "question", "problem", "input", "query", "instruction")
_REWARDS = (
    *("recorded_reward", "reward", "rewards", "score", "scores", "pass_rate_rewards"),
    *("is_correct", "correct"),
)
_STEPS = ("step", "global_step", "training_step")
_SUFFIXES = {".jsonl", ".ndjson", ".json", ".parquet", ".csv"}
_PICKLES = {".pt", ".pth", ".pkl", ".pickle"}
#: Columns of TRL's completions tables that are not rewards.
_TRL = {"step", "prompt", "completion", "advantage"}


@dataclass(frozen=True)
class Record:
    """One rollout as recorded in a file."""

    location: str
    """File and row, for messages."""
    ids: Mapping[str, str]
    """Possible ids of the problem, by column."""
    prompts: tuple[str, ...]
    """Texts that may be the whole prompt or the question."""
    prompt_ids: tuple[int, ...] | None
    step: int
    """Training step that sampled it; -1 if unknown."""
    completion: str | None
    """None if only ``token_ids`` are recorded."""
    token_ids: list[int] | None
    logprobs: list[float] | None
    finish_reason: str | None
    """``stop``, ``length``, or None if unknown."""
    reward: float | None


def read_records(
    paths: Iterable[Path], *, reward_column: str | None = None
) -> tuple[list[list[Record]], Counter[str]]:
    """Read files of rollouts, or folders of such files.

    Args:
        paths: Files that `read_source` can read, or folders of them. A row has one completion, a
            list of them, or the format of a trainer's dump (`dumps`).
        reward_column: Name of the reward column if it is not one of the usual ones; dots reach into
            objects.

    Returns:
        The records of each file, and counts for warnings: ``empty`` (completions that are null,
        failed or multi-turn) and ``rescaled`` (rewards of 10 that were read as 1).

    Raises:
        LearnAlignError: if a file is missing or broken, a row has no completion, or a value is
            invalid; names the file and row.
    """
    counts: Counter[str] = Counter()
    files = [file for path in paths for file in _files(Path(path))]
    records = [_file(file, reward_column, counts) for file in files]
    if not any(records):
        raise LearnAlignError(
            f"{', '.join(map(str, files))}: no usable completion; {counts['empty']} are null, "
            "failed or multi-turn",
            expected="single-turn responses to the prompts",
            do="correct --recorded",
        )
    return records, counts


def _files(path: Path) -> list[Path]:
    """List the files of a folder of dumps, without duplicates and files without rollouts."""
    if not path.is_dir():
        return [path]
    files = sorted(
        (file for file in path.rglob("*") if file.is_file() and _SUFFIXES & set(file.suffixes)),
        key=lambda file: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(file))],
    )
    kept = [file for file in files if not _is_redundant(file)]
    if not kept:
        raise LearnAlignError(
            f"the folder {path} contains no rollouts",
            expected=f"files of rollouts ({', '.join(sorted(_SUFFIXES))})",
            do="correct --recorded",
        )
    return kept


def _is_redundant(file: Path) -> bool:
    """Return whether a trainer's file repeats the rollouts of another, or contains none."""
    filtered = file.parent.name == "effective" and (file.parent.parent / "all").is_dir()
    ends = ("_failures.jsonl", "_reward_profiling.jsonl", "_materialized_inputs.jsonl")
    return filtered or file.name.endswith(ends)


def _file(path: Path, reward_column: str | None, counts: Counter[str]) -> list[Record]:
    if path.suffix in _PICKLES:
        raise LearnAlignError(
            f"{path} is a pickle, and loading a pickle can run arbitrary code",
            expected="JSON Lines or Parquet with completions",
            do="configure the trainer to write its rollouts in one of these formats",
        )
    records: list[Record] = []
    scaled = False
    rows = read_source(str(path)).rows
    reward_column = reward_column or _trl_column(rows, path)
    unit = _unit(path, len(rows))
    for number, row in enumerate(rows, 1):
        location = f"{path}, {unit} {number}"
        scaled = scaled or "response_tokens" in row
        try:
            plain = plain_rows(row)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LearnAlignError(
                f"{location}: the columns {', '.join(row)} are those of a trainer's dump, but the "
                f"values do not match its format ({type(error).__name__}: {error})",
                do="correct the row, or write one completion per row (docs/concepts/rollouts.md)",
            ) from error
        parsed = [
            record for part in plain for record in _records(part, location, path, reward_column)
        ]
        counts["empty"] += parsed.count(None)
        records += [record for record in parsed if record is not None]
    if scaled and {record.reward for record in records} <= {0.0, 10.0}:
        counts["rescaled"] += sum(record.reward == 10.0 for record in records)
        records = [_rescaled(record) for record in records]
    return records


def _unit(path: Path, count: int) -> str:
    """Return what messages call a row of the file: ``line`` if each row is one, else ``row``."""
    if path.suffix not in {".jsonl", ".ndjson"}:
        return "row"
    with path.open("rb") as file:
        return "line" if sum(1 for _ in file) == count else "row"


def _records(
    row: Mapping[str, Any], location: str, path: Path, reward_column: str | None
) -> Iterator[Record | None]:
    """Yield the rollouts of a plain row; None for each one without a completion."""
    texts = _first(row, COMPLETIONS)
    prompts = tuple(t for name in PROMPTS if (t := _prompt(row.get(name))) is not None)
    ids = {name: text for name in IDS if (text := _id(row.get(name))) is not None}
    has_tokens = row.get("token_ids") is not None
    known = [name for name in COMPLETIONS if name in row]
    if not (known or has_tokens) or not (prompts or ids or row.get("prompt_ids")):
        raise LearnAlignError(
            f"{location}: its columns are {', '.join(row)}",
            expected=f"one of {', '.join(IDS + PROMPTS)}, and one of {', '.join(COMPLETIONS)}",
            do="rename the columns",
        )
    several = isinstance(texts, list) and not is_message_list(texts)
    rewards = _reward_value(row, reward_column, location)
    if several and rewards is None:
        rewards = [None] * len(texts)
    if several and len(texts) == 1 and not isinstance(rewards, list):
        rewards = [rewards]
    if several and not isinstance(rewards, list):
        raise LearnAlignError(
            f"{location}: {len(texts)} completions and a single reward {rewards!r}",
            expected="one reward per completion",
            do="write a list of rewards, or one completion per row",
        )
    texts = texts if several else [texts]
    rewards = rewards if several else [rewards]
    if len(rewards) != len(texts):
        raise LearnAlignError(
            f"{location}: {len(texts)} completions and {len(rewards)} rewards",
            expected="one reward per completion",
            do="correct the row",
        )
    exact = exact_of(row, location) if has_tokens and not several else (None, None)
    for text, reward in zip(texts, rewards, strict=True):
        completion = completion_of(text, location)
        if completion is None and exact[0] is None:
            yield None
            continue
        yield Record(
            location=location,
            ids=ids,
            prompts=prompts,
            prompt_ids=tokens_of(row.get("prompt_ids"), location, "prompt_ids"),
            step=_step(row, path),
            completion=completion,
            token_ids=exact[0],
            logprobs=exact[1],
            finish_reason=None if several else _finish(row),
            reward=reward_of(reward, location),
        )


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _id(content: Any) -> str | None:
    """Return an id as text. A column with missing values turns 7 into 7.0."""
    if isinstance(content, float) and content.is_integer():
        content = int(content)
    return str(content) if isinstance(content, str | int) else None


def _prompt(content: Any) -> str | None:
    """Return the text of a prompt; for chat messages, that of the last one."""
    if is_message_list(content):
        return text_of(content[-1])
    return content if isinstance(content, str) else None


def _finish(row: Mapping[str, Any]) -> str | None:
    if row.get("is_truncated") is True or row.get("truncated") is True:
        return "length"
    reason = row.get("finish_reason")
    if reason is None:
        return None
    return "length" if reason in ("length", "max_tokens", "truncated") else "stop"


def _step(row: Mapping[str, Any], path: Path) -> int:
    """Find the training step: in the row, else in the name of the file or its folders."""
    for name in _STEPS:
        step = row.get(name)
        if isinstance(step, int | float) and not isinstance(step, bool) and math.isfinite(step):
            return int(step)
    numbers = re.findall(r"step_?(\d+)", "/".join(path.parts[-4:]))
    if not numbers and {"task_id", "sample_idx"} <= row.keys():  # AReaL: VERSION/TASK.jsonl
        numbers = re.findall(r"^\d+$", path.parent.name)
    elif not numbers and {"input", "output"} <= row.keys():  # verl: STEP.jsonl
        numbers = re.findall(r"^\d+$", path.stem)
    return int(numbers[-1]) if numbers else -1


def _reward_value(row: Mapping[str, Any], column: str | None, location: str) -> Any:
    """Find the reward of a row."""
    if column is None:
        return _first(row, _REWARDS)
    parent, _, last = column.rpartition(".")
    above = row if column in row or not parent else value(row, parent)
    if not isinstance(above, Mapping) or (column if above is row else last) not in above:
        raise LearnAlignError(
            f"{location} has no column '{column}'",
            expected=f"an existing column: {nearest(column, row)}",
            do="correct rollouts.recorded_reward",
        )
    return value(row, column)


def _trl_column(rows: list[dict[str, Any]], path: Path) -> str | None:
    """Find the reward in TRL's completions table: the column of its only reward function."""
    if not rows[0].keys() >= _TRL or any(name in rows[0] for name in _REWARDS):
        return None
    numbers = {
        name: None
        for row in rows
        for name, content in row.items()
        if name not in _TRL and isinstance(content, int | float)
    }
    if len(numbers) > 1:
        raise LearnAlignError(
            f"{path}: several columns could be the reward: {', '.join(numbers)}",
            expected="the one to select by",
            do=f"name it: --set rollouts.recorded_reward={next(iter(numbers))}",
        )
    return next(iter(numbers), None)


def _rescaled(record: Record) -> Record:
    return replace(record, reward=None if record.reward is None else record.reward / 10.0)
