"""This project's verifiers as reward functions that trainers import by name.

TRL: ``reward_funcs: [learnalign.verifying.rewards.number]``, on rows that `learnalign export --as
trl` wrote. verl: ``reward.custom_reward_function.path=pkg://learnalign.verifying.rewards``, its
name ``compute_score``, with ``reward_kwargs.kind``.
"""

import atexit
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.problems.golds import single
from learnalign.tables import golds
from learnalign.verifying.routing import KINDS
from learnalign.verifying.workers import Workers

_TIMEOUT_S = 5.0
_MEMORY_MB = 4096
#: Threads that reward at the same time have a worker each, up to so many.
_workers = Workers(os.cpu_count() or 1, _TIMEOUT_S, _MEMORY_MB)
atexit.register(_workers.close)

#: A text; a chat's messages, of which the last counts.
Completions = Sequence[Any]
Rewards = list[float | None]


def math(completions: Completions, solution: Sequence[Any], **_columns: Any) -> Rewards:
    r"""Reward answers that are mathematically the gold one.

    Example:
        >>> math(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _rewards("math", completions, solution, {})


def number(completions: Completions, solution: Sequence[Any], **_columns: Any) -> Rewards:
    """Reward completions whose number is the gold one."""
    return _rewards("number", completions, solution, {})


def text(completions: Completions, solution: Sequence[Any], **_columns: Any) -> Rewards:
    """Reward completions whose text is the gold one."""
    return _rewards("text", completions, solution, {})


def choice(completions: Completions, solution: Sequence[Any], **_columns: Any) -> Rewards:
    """Reward completions that choose the gold letter."""
    return _rewards("choice", completions, solution, {})


def reasoning_gym(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward as the problem's own generator does; needs the rows' ``metadata``."""
    return _rewards("reasoning_gym", completions, solution, columns)


def compute_score(
    data_source: str,
    solution_str: Any,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    kind: str = "math",
    **_others: Any,
) -> float:
    """Reward one completion, as verl asks for it; from any thread, and after a fork.

    Where there is no reward (the gold cannot be read, the verifier fails) it warns and gives 0.

    Args:
        data_source: Unused: ``kind`` says how to judge.
        solution_str: The completion.
        ground_truth: The gold answer: text, a number, or a list of golds any of which is right.
        extra_info: Its ``row`` (JSON text) is the problem's own row, if the export built it.
        kind: math, number, text, choice or reasoning_gym.

    Raises:
        LearnAlignError: for another kind.

    Example:
        >>> compute_score("sums", "that makes 12", 12, kind="number")
        1.0
    """
    row = json.loads((extra_info or {}).get("row") or "{}")
    return _judge(kind, solution_str, ground_truth, row) or 0.0


def _rewards(
    kind: str, completions: Completions, solution: Sequence[Any], columns: dict[str, Any]
) -> Rewards:
    count = len(completions)
    lists = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == count}
    return [
        _judge(kind, completion, gold, {name: values[i] for name, values in lists.items()})
        for i, (completion, gold) in enumerate(zip(completions, solution, strict=True))
    ]


def _judge(kind: str, completion: Any, gold: Any, row: dict[str, Any]) -> float | None:
    if kind not in KINDS[1:]:
        raise LearnAlignError(
            f"got the kind of reward '{kind}'",
            expected=f"one of {', '.join(KINDS[1:])}: {nearest(kind, KINDS[1:])}",
            do="correct reward_kwargs.kind",
        )
    found = gold_texts(gold)
    request = {
        "kind": kind,
        "golds": [text for one in found for text in golds(one)] or [""],
        "row": {"answer": found[0] if found else None, **row},
        "completions": [completion_text(completion)],
        "completion_ids": [[]],
    }
    with _workers.borrowed() as worker:
        judgement = worker.judge(request)[0]
    if judgement.reward is None:
        # Python shows the same warning once.
        warnings.warn(f"no reward by {kind}: {judgement.detail}", RuntimeWarning, stacklevel=3)
    return judgement.reward


def gold_texts(gold: Any) -> list[str]:
    """Read a trainer's gold as a selection reads it: the texts, any of which is right.

    Numbers may be of Python or numpy, and lists are taken apart; what a single value means is said
    by `learnalign.problems.golds.single`.

    Example:
        >>> gold_texts(72.0), gold_texts([["72"]]), gold_texts("3 * 400 #### 1,200")
        (['72'], ['72'], ['1200'])
        >>> gold_texts(["7", 7.5])
        ['7', '7.5']
    """
    gold = _plain(gold)
    if isinstance(gold, list | tuple):
        return [text for one in gold for text in gold_texts(one)]
    text = None if gold is None else single(gold)[0]
    return [text] if text else []


def completion_text(completion: Any) -> str:
    """Read a trainer's completion: text, a message, or a list; of messages the last one counts.

    Raises:
        LearnAlignError: if it holds no text.

    Example:
        >>> chat = [{"role": "assistant", "content": [{"type": "text", "text": "It is 4."}]}]
        >>> completion_text("4"), completion_text(chat), completion_text(["It is ", "4."])
        ('4', 'It is 4.', 'It is 4.')
    """
    completion = _plain(completion)
    if completion is None:
        return ""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        if "content" in completion:
            return completion_text(completion["content"])
        if "text" in completion:
            return completion_text(completion["text"])
    elif isinstance(completion, Iterable):
        parts = list(completion)
        if parts and all(isinstance(part, Mapping) and "role" in part for part in parts):
            return completion_text(parts[-1])
        return "".join(completion_text(part) for part in parts)
    raise LearnAlignError(
        f"got a completion of type {type(completion).__name__}",
        expected="text, or a list of messages",
        do="decode it before it is rewarded",
    )


def _plain(value: Any) -> Any:
    """Turn what numpy or torch made into plain Python."""
    return value.tolist() if hasattr(value, "tolist") else value
