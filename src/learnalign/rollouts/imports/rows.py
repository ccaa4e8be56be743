"""Parse plain rows to records: ids, prompt, completion, reward, step."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.columns import COMPLETIONS
from learnalign.problems.nested import has, value
from learnalign.rollouts.imports.record import Record
from learnalign.rollouts.imports.turns import context_of, texts_of
from learnalign.rollouts.imports.values import (
    REWARDS,
    completion_of,
    exact_of,
    is_message_list,
    is_multi_turn,
    list_of,
    number_of,
    reasons_apart,
    reward_of,
    tokens_of,
)

IDS = ("problem_id", "id", "unique_id", "uid", "example_id", "task_id")
PROMPTS = ("prompt", "question", "problem", "input", "query", "instruction")
#: Columns of plain rows that stand for a completion.
_OTHERS = ("token_ids", "counted_rewards", "multi_turn")
_ERRORS = ("error", "errors", "exception")
_STEPS = ("step", "global_step", "training_step")


def records_of(
    row: Mapping[str, Any],
    original: Mapping[str, Any],
    location: str,
    path: Path,
    name: str,
    reward_column: str | Literal[False] | None,
) -> Iterator[Record | Literal["empty", "failed"]]:
    """Yield the rollouts of a plain row, or why one is none.

    Args:
        row: The plain row (`imports.format`).
        original: The row as it is in the file, where the reward column may be, too.
        location: File and row, for messages.
        path: The file, whose name or folders may tell the step.
        name: Name of the format.
        reward_column: Name of the reward column, if the user gave one; False for none.

    Raises:
        LearnAlignError: if the row has no completion or names no problem, or a value is invalid.
    """
    if row.get("failed") or any(_is_error(row.get(column)) for column in _ERRORS):
        yield "failed"
        return
    common = _about(row, original, location, path, name)
    counted = row.get("counted_rewards")
    if counted is not None:
        for reward in counted:
            found = reward_of(reward, location)
            yield "failed" if found is None else Record(**common, reward=found)
        return
    if row.get("multi_turn"):
        reward = reward_of(_reward_value(row, original, reward_column, location), location)
        yield Record(**common, reward=reward, is_multi_turn=True)
        return
    texts, rewards = _texts_and_rewards(row, original, location, reward_column)
    exact: tuple[Any, Any] = (None, None)
    if row.get("token_ids") is not None and len(texts) == 1:
        exact = exact_of(row, location)
    apart = {"reasoning_content": row.get("reasoning_content")}
    reasoned = bool(row.get("reasoned")) or reasons_apart(apart)
    for text, reward in zip(texts, rewards, strict=True):
        if is_multi_turn(text):
            yield Record(**common, reward=reward_of(reward, location), is_multi_turn=True)
            continue
        completion = completion_of(text, location)
        is_blank = completion is None or not (completion.strip() or row.get("may_be_empty"))
        if exact[0] is None and is_blank:
            yield "empty"
            continue
        yield Record(
            **common,
            completion=completion,
            token_ids=exact[0],
            logprobs=exact[1],
            finish_reason=_finish(row) if len(texts) == 1 else None,
            reward=reward_of(reward, location),
            reasons_apart=exact[0] is None and (reasoned or reasons_apart(text)),
        )


def _about(
    row: Mapping[str, Any], original: Mapping[str, Any], location: str, path: Path, name: str
) -> dict[str, Any]:
    """Return the fields that all rollouts of a row share: the prompt, its ids and the sampling."""
    prompts = tuple(text for name in PROMPTS for text in texts_of(row.get(name)))
    ids = {name: text for name in IDS if (text := _id(row.get(name))) is not None}
    known = [name for name in (*COMPLETIONS, *_OTHERS) if name in row]
    if not known or not (prompts or ids or row.get("prompt_ids")):
        raise LearnAlignError(
            f"{location}: its columns are {', '.join(original)}",
            expected=f"one of {', '.join(IDS + PROMPTS)}, and one of {', '.join(COMPLETIONS)}",
            do="rename the columns",
        )
    return {
        "location": location,
        "format": name,
        "ids": ids,
        "prompts": prompts,
        "context": next(filter(None, (context_of(row.get(name)) for name in PROMPTS)), ()),
        "prompt_ids": tokens_of(row.get("prompt_ids"), location, "prompt_ids"),
        "step": _step(row, path, location),
        "model": row.get("model") if isinstance(row.get("model"), str) else None,
        "temperature": number_of(row.get("temperature")),
        "top_p": number_of(row.get("top_p")),
        "mixed": bool(row.get("mixed")),
    }


def _texts_and_rewards(
    row: Mapping[str, Any],
    original: Mapping[str, Any],
    location: str,
    reward_column: str | Literal[False] | None,
) -> tuple[list[Any], list[Any]]:
    """Return the completions of a row and their rewards, equally many."""
    texts = _completions(row)
    if texts == []:  # no message, or no completion at all
        return [None], [None]
    several = isinstance(texts, list) and not is_message_list(texts)
    rewards = _reward_value(row, original, reward_column, location)
    rewards = list_of(rewards) if several else rewards
    if not several:
        return [texts], [rewards]
    if rewards is None:
        return texts, [None] * len(texts)
    if len(texts) == 1 and not isinstance(rewards, list):
        return texts, [rewards]
    if not isinstance(rewards, list):
        raise LearnAlignError(
            f"{location}: {len(texts)} completions and a single reward {rewards!r}",
            expected="one reward per completion",
            do="write a list of rewards, or one completion per row",
        )
    if len(rewards) != len(texts):
        raise LearnAlignError(
            f"{location}: {len(texts)} completions and {len(rewards)} rewards",
            expected="one reward per completion",
            do="correct the row",
        )
    return texts, rewards


def _completions(row: Mapping[str, Any]) -> Any:
    """Return a row's completion, or a list; only a plural may be a list that is text."""
    name = next((name for name in COMPLETIONS if row.get(name) is not None), None)
    if name is None:
        return None
    return list_of(row[name]) if name.endswith("s") else row[name]


def _is_error(content: Any) -> bool:
    """Return whether a column of errors has one: a text, an object or a list, not a measure."""
    if isinstance(content, str):
        return content.strip().lower() not in ("", "none", "null", "nan", "false")
    return content is True or (isinstance(content, Mapping | list) and bool(content))


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _id(content: Any) -> str | None:
    """Return an id as text. A column with missing values turns 7 into 7.0."""
    if isinstance(content, float) and content.is_integer():
        content = int(content)
    return str(content) if isinstance(content, str | int) else None


def _finish(row: Mapping[str, Any]) -> str | None:
    if any(str(row.get(name)).lower() == "true" for name in ("is_truncated", "truncated")):
        return "length"
    reason = row.get("finish_reason")
    if reason is None or reason == "":
        return None
    return "length" if reason in ("length", "max_tokens", "truncated") else "stop"


def _step(row: Mapping[str, Any], path: Path, location: str) -> int:
    """Find the training step: in the row, also as text, else in the names of file and folders."""
    given = next((row[name] for name in _STEPS if row.get(name) not in (None, "")), None)
    if given is not None:
        written = re.fullmatch(r"(?:global_)?step[_ ]?(\d+)", str(given))
        step = number_of(written[1] if written else given)
        if step is None or math.isinf(step):
            raise LearnAlignError(
                f"{location}: the step is {given!r}",
                expected="the number of a training's step",
                do="correct the column, or rename it if it is something else",
            )
        if not math.isnan(step):
            return int(step)
    numbers = re.findall(r"(?:step|completions)_?(\d+)", "/".join(path.parts[-4:]))
    return int(numbers[-1]) if numbers else -1


def _reward_value(
    row: Mapping[str, Any],
    original: Mapping[str, Any],
    column: str | Literal[False] | None,
    location: str,
) -> Any:
    """Find the reward of a row: in the column that the user named, else in a usual one."""
    if column is False:
        return None
    if column is not None:
        for known in (row, original):
            if has(known, column):
                return value(known, column)
        raise LearnAlignError(
            f"{location} has no column '{column}'",
            expected=f"an existing column: {nearest(column, original)}",
            do="correct rollouts.recorded_reward",
        )
    reward, functions = _first(row, REWARDS), row.get("reward_columns") or []
    if reward is None and len(functions) > 1:
        raise LearnAlignError(
            f"{location}: several columns could be the reward: {', '.join(functions)}",
            expected="the one to select by",
            do=f"name it: --set rollouts.recorded_reward={functions[0]}",
        )
    return row.get(functions[0]) if reward is None and functions else reward
