"""This project's verifiers as reward functions that trainers import by name.

TRL: ``reward_funcs: [learnalign.verifying.rewards.auto]``, on rows that `learnalign export --as
trl` wrote. verl: ``reward.custom_reward_function.path=pkg://learnalign.verifying.rewards``, its
name ``compute_score``, with ``reward_kwargs.kind``.
"""

import atexit
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.tables import SCORED_PROMPT, golds
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.question import Question
from learnalign.verifying.routing import KINDS, route
from learnalign.verifying.trainer_values import (
    as_json,
    completion_text,
    exported_row,
    gold_texts,
    prompt_text,
)
from learnalign.verifying.workers import Workers

_TIMEOUT_S = 5.0
_MEMORY_MB = 4096
#: Processes of a trainer on this machine, which share its processors.
_RANKS = os.environ.get("LOCAL_WORLD_SIZE", "")
#: Threads that reward at the same time have a worker each, up to so many.
_workers = Workers(
    max(1, (os.cpu_count() or 1) // max(1, int(_RANKS) if _RANKS.isdecimal() else 1)),
    _TIMEOUT_S,
    _MEMORY_MB,
)
atexit.register(_workers.close)

#: Completions of a batch that are worth a worker of their own.
_PART = 32
#: What TRL hands over beside the row's own columns.
_TRAINERS = {"prompts", "completions", "completion_ids", "trainer_state", "environments"}

#: A text; a chat's messages, of which the last counts.
Completions = Sequence[Any]
Rewards = list[float | None]


def auto(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    r"""Reward each answer by the verifier that fits its problem, as ``--verifier auto`` does.

    Which one that is, is read out of the gold, the prompt and the row (docs/concepts/verdicts.md).

    Example:
        >>> auto(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _by_columns("auto", completions, solution, columns)


def math(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    r"""Reward answers that are mathematically the gold one.

    Example:
        >>> math(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _by_columns("math", completions, solution, columns)


def number(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions whose number is the gold one."""
    return _by_columns("number", completions, solution, columns)


def choice(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions that choose the gold letter; options are read in the prompts."""
    return _by_columns("choice", completions, solution, columns)


def words(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward answers in words (yes, a name, a weekday) that are the gold one."""
    return _by_columns("words", completions, solution, columns)


def time(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward times of the day and dates that are the gold one."""
    return _by_columns("time", completions, solution, columns)


def code(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward values as Python writes them that are the gold one; nothing is run."""
    return _by_columns("code", completions, solution, columns)


def text(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions whose text is the gold one."""
    return _by_columns("text", completions, solution, columns)


def reasoning_gym(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward as the problem's own generator does; needs the rows' ``metadata``."""
    return _by_columns("reasoning_gym", completions, solution, columns)


def compute_score(
    data_source: str,
    solution_str: Any,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    kind: str = "auto",
    unfinished_thinking: bool = False,
    **_others: Any,
) -> float:
    """Reward one completion for verl; works from any thread and after a fork.

    Where there is no reward (the gold cannot be read, the verifier fails) it warns and gives 0.

    Args:
        data_source: Unused: ``kind`` says how to judge.
        solution_str: The completion.
        ground_truth: The gold answer: text, a number, or a list of golds any of which is right.
        extra_info: Its ``prompt`` (``learnalign_prompt`` in rows that had verl's form already) is
            what the model saw, its ``row`` (JSON text) the problem's own row.
        kind: One of `learnalign.verifying.routing.KINDS`; auto chooses problem by problem.
        unfinished_thinking: Whether an answer in thinking that was never closed counts.

    Raises:
        LearnAlignError: for another kind.

    Example:
        >>> compute_score("sums", "that makes 12", 12, kind="number")
        1.0
    """
    known = extra_info or {}
    prompt = known.get(SCORED_PROMPT) or known.get("prompt")
    asked = _asked(kind, ground_truth, prompt, exported_row(known.get("row")))
    asked["unfinished_thinking"] = unfinished_thinking
    (judgement,) = _judged(asked, [completion_text(solution_str)])
    return _reward(kind, judgement) or 0.0


def _by_columns(
    kind: str, completions: Completions, solution: Sequence[Any], columns: Mapping[str, Any]
) -> Rewards:
    """Reward for TRL: prompts and row columns have one entry per completion."""
    count = len(completions)
    lists = {
        name: values
        for name, values in columns.items()
        if isinstance(values, list) and len(values) == count and name not in _TRAINERS
    }
    messages = columns.get("prompts")
    messages = [None] * count if messages is None else messages
    prompts = [
        told if scored is None else scored
        for scored, told in zip(lists.pop(SCORED_PROMPT, [None] * count), messages, strict=True)
    ]
    asked = [
        as_json(_asked(kind, gold, prompt, {name: values[i] for name, values in lists.items()}))
        for i, (gold, prompt) in enumerate(zip(solution, prompts, strict=True))
    ]
    texts = [completion_text(completion) for completion in completions]
    return [_reward(kind, judgement) for judgement in _all_judged(asked, texts)]


def _all_judged(asked: Sequence[str], texts: Sequence[str]) -> list[Judgement]:
    """Judge a batch, completion by completion, over as many workers as pay off.

    Completions that are asked about alike go to a worker together: it reads their gold once.
    """
    alike: dict[str, list[int]] = {}
    for place, (key, _) in enumerate(zip(asked, texts, strict=True)):
        alike.setdefault(key, []).append(place)
    at_once = max(1, min(len(_workers), -(-len(texts) // _PART)))
    size = max(1, -(-len(texts) // at_once))
    parts = [
        (key, places[start : start + size])
        for key, places in alike.items()
        for start in range(0, len(places), size)
    ]

    def judge(part: tuple[str, list[int]]) -> list[Judgement]:
        key, places = part
        return _judged(json.loads(key), [texts[place] for place in places])

    found: dict[int, Judgement] = {}
    try:
        done = _workers.side_by_side(judge, parts, at_once)
        for (_, places), judgements in zip(parts, done, strict=True):
            found.update(zip(places, judgements, strict=True))
    except (KeyboardInterrupt, SystemExit):
        _workers.begin_again()  # nobody waits for what they are at
        raise
    return [found[place] for place in range(len(texts))]


def _asked(kind: str, gold: Any, prompt: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Make the request for a completion, but for the completion.

    Raises:
        LearnAlignError: for an unknown kind.
    """
    if kind not in KINDS:
        raise LearnAlignError(
            f"got the kind of reward '{kind}'",
            expected=f"one of {', '.join(KINDS)}: {nearest(kind, KINDS)}",
            do="correct reward_kwargs.kind",
        )
    found = gold_texts(gold)
    return {
        "kind": kind,
        "golds": [text for one in found for text in golds(one)] or [""],
        "prompt": prompt_text(prompt),
        "row": {"answer": found[0] if found else None, **row},
    }


def _judged(request: dict[str, Any], texts: list[str]) -> list[Judgement]:
    request["kind"] = route(request["kind"], Question.of(request))
    request |= {"completions": texts, "completion_ids": [[]] * len(texts)}
    with _workers.borrowed() as worker:
        return worker.judge(request)


def _reward(kind: str, judgement: Judgement) -> float | None:
    """Return the reward; warn if there is none (Python shows the same warning once)."""
    if judgement.reward is None:
        warnings.warn(f"no reward by {kind}: {judgement.detail}", RuntimeWarning, stacklevel=2)
    return judgement.reward
