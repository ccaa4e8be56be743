"""This project's verifiers as reward functions that trainers import by name.

TRL: ``reward_funcs: [learnalign.verifying.rewards.number]``, on rows that `learnalign export --as
trl` wrote. verl: ``reward.custom_reward_function.path=pkg://learnalign.verifying.rewards``, its
name ``compute_score``, with ``reward_kwargs.kind``.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from learnalign.verifying.processes import WorkerProcess

_TIMEOUT_S = 5.0

Completions = Sequence[str | list[dict[str, Any]]]
Rewards = list[float | None]


def math(completions: Completions, solution: Sequence[str], **_columns: Any) -> Rewards:
    r"""Reward answers that are mathematically the gold one.

    Example:
        >>> math(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _rewards("math", completions, solution, {})


def number(completions: Completions, solution: Sequence[str], **_columns: Any) -> Rewards:
    """Reward completions whose number is the gold one."""
    return _rewards("number", completions, solution, {})


def text(completions: Completions, solution: Sequence[str], **_columns: Any) -> Rewards:
    """Reward completions whose text is the gold one."""
    return _rewards("text", completions, solution, {})


def choice(completions: Completions, solution: Sequence[str], **_columns: Any) -> Rewards:
    """Reward completions that choose the gold letter."""
    return _rewards("choice", completions, solution, {})


def reasoning_gym(completions: Completions, solution: Sequence[str], **columns: Any) -> Rewards:
    """Reward as the problem's own generator does; needs the rows' ``metadata``."""
    return _rewards("reasoning_gym", completions, solution, columns)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    kind: str = "math",
    **_others: Any,
) -> float:
    """Reward one completion, as verl asks for it.

    Args:
        data_source: Unused: ``kind`` says how to judge.
        solution_str: The completion.
        ground_truth: The gold answer.
        extra_info: Its ``row`` (JSON text) is the problem's own row, if the export built it.
        kind: math, number, text, choice or reasoning_gym.

    Example:
        >>> compute_score("sums", "that makes 12", "12", kind="number")
        1.0
    """
    row = json.loads((extra_info or {}).get("row") or "{}")
    return _judge(kind, solution_str, ground_truth, row) or 0.0


def _rewards(
    kind: str, completions: Completions, solution: Sequence[str], columns: dict[str, Any]
) -> Rewards:
    count = len(completions)
    lists = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == count}
    return [
        _judge(kind, _text(completion), gold, {name: values[i] for name, values in lists.items()})
        for i, (completion, gold) in enumerate(zip(completions, solution, strict=True))
    ]


def _text(completion: str | list[dict[str, Any]]) -> str:
    """Give a completion's text; a chat's is that of its last message."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def _judge(kind: str, completion: str, gold: str, row: dict[str, Any]) -> float | None:
    request = {
        "kind": kind,
        "gold": gold,
        "row": {"answer": gold, **row},
        "completions": [completion],
        "completion_ids": [[]],
    }
    return _process().judge(request)[0].reward


@cache
def _process() -> WorkerProcess:
    return WorkerProcess(_TIMEOUT_S)
