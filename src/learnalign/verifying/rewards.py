"""LearnAlign's verifiers as reward functions that trainers import by name.

TRL: ``reward_funcs: [learnalign.verifying.rewards.auto]``, on rows written by `learnalign export
--as trl`. verl: ``reward.custom_reward_function.path=pkg://learnalign.verifying.rewards``, its name
``compute_score``, with ``reward_kwargs.kind``.
"""

import atexit
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from learnalign.config import VerifierConfig
from learnalign.errors import LearnAlignError, nearest
from learnalign.tables import SCORED_PROMPT, golds
from learnalign.verifying.judgement import Judgement
from learnalign.verifying.programs.request import PROGRAM, program_request
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
#: Number of trainer processes on this machine, which share its CPUs.
_RANKS = os.environ.get("LOCAL_WORLD_SIZE", "")
#: Each thread that computes rewards uses its own worker, up to this number of workers.
_workers = Workers(
    max(1, (os.cpu_count() or 1) // max(1, int(_RANKS) if _RANKS.isdecimal() else 1)),
    _TIMEOUT_S,
    _MEMORY_MB,
)
atexit.register(_workers.close)

#: Minimum completions per worker when a batch is split.
_MIN_PER_WORKER = 32
#: TRL's arguments that are not columns of the row.
_TRL_ARGUMENTS = {"prompts", "completions", "completion_ids", "trainer_state", "environments"}

#: Texts, or chats whose last message counts.
Completions = Sequence[Any]
Rewards = list[float | None]


def auto(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    r"""Reward each answer with the verifier that fits its problem, as ``--verifier auto`` does.

    The verifier is chosen by the gold, the prompt and the row (docs/concepts/verdicts.md).

    Example:
        >>> auto(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _by_columns("auto", completions, solution, columns)


def math(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    r"""Reward answers that are mathematically equal to the gold.

    Example:
        >>> math(["It is \\boxed{1/2}.", "3"], solution=["0.5", "0.5"])
        [1.0, 0.0]
    """
    return _by_columns("math", completions, solution, columns)


def number(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions whose number equals the gold."""
    return _by_columns("number", completions, solution, columns)


def choice(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions that choose the gold letter; options are parsed from the prompts."""
    return _by_columns("choice", completions, solution, columns)


def words(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward answers in words (yes, a name, a weekday) that equal the gold."""
    return _by_columns("words", completions, solution, columns)


def time(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward times of day and dates that equal the gold."""
    return _by_columns("time", completions, solution, columns)


def code(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward Python literals that equal the gold; nothing is executed."""
    return _by_columns("code", completions, solution, columns)


def text(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward completions whose text equals the gold."""
    return _by_columns("text", completions, solution, columns)


def program(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward programs that pass the tests in ``solution``, run in a sandbox."""
    return _by_columns("program", completions, solution, columns)


def reasoning_gym(completions: Completions, solution: Sequence[Any], **columns: Any) -> Rewards:
    """Reward with the scorer of the problem's generator; needs the rows' ``metadata``."""
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

    Without a reward (the gold cannot be parsed, the verifier fails) it warns and returns 0.

    Args:
        data_source: Unused: ``kind`` determines the verifier.
        solution_str: The completion.
        ground_truth: The gold answer: text, a number, or a list of golds, any of which is correct.
        extra_info: ``prompt`` (``learnalign_prompt`` in rows that already had verl's format) is the
            prompt the model saw, ``row`` is the problem's row as JSON text.
        kind: One of `learnalign.verifying.routing.KINDS`; auto chooses for each problem.
        unfinished_thinking: Whether an answer in an unclosed thinking block counts.

    Raises:
        LearnAlignError: for an unknown kind.

    Example:
        >>> compute_score("sums", "that makes 12", 12, kind="number")
        1.0
    """
    info = extra_info or {}
    prompt = info.get(SCORED_PROMPT) or info.get("prompt")
    request = _request(kind, ground_truth, prompt, exported_row(info.get("row")))
    request["unfinished_thinking"] = unfinished_thinking
    (judgement,) = _judge(request, [completion_text(solution_str)])
    return _reward(kind, judgement) or 0.0


def _by_columns(
    kind: str, completions: Completions, solution: Sequence[Any], columns: Mapping[str, Any]
) -> Rewards:
    """Compute rewards for TRL: prompts and row columns have one entry per completion."""
    count = len(completions)
    lists = {
        name: values
        for name, values in columns.items()
        if isinstance(values, list) and len(values) == count and name not in _TRL_ARGUMENTS
    }
    messages = columns.get("prompts")
    messages = [None] * count if messages is None else messages
    prompts = [
        message if scored is None else scored
        for scored, message in zip(lists.pop(SCORED_PROMPT, [None] * count), messages, strict=True)
    ]
    requests = [
        as_json(_request(kind, gold, prompt, {name: values[i] for name, values in lists.items()}))
        for i, (gold, prompt) in enumerate(zip(solution, prompts, strict=True))
    ]
    texts = [completion_text(completion) for completion in completions]
    return [_reward(kind, judgement) for judgement in _judge_batch(requests, texts)]


def _judge_batch(requests: Sequence[str], texts: Sequence[str]) -> list[Judgement]:
    """Judge a batch of completions, split over several workers if it is large enough.

    Completions with equal requests go to a worker together, which parses their gold once.
    """
    groups: dict[str, list[int]] = {}
    for index, (key, _) in enumerate(zip(requests, texts, strict=True)):
        groups.setdefault(key, []).append(index)
    num_workers = max(1, min(len(_workers), -(-len(texts) // _MIN_PER_WORKER)))
    size = max(1, -(-len(texts) // num_workers))
    parts = [
        (key, indices[start : start + size])
        for key, indices in groups.items()
        for start in range(0, len(indices), size)
    ]

    def judge(part: tuple[str, list[int]]) -> list[Judgement]:
        key, indices = part
        return _judge(json.loads(key), [texts[index] for index in indices])

    results: dict[int, Judgement] = {}
    try:
        done = _workers.map(judge, parts, num_workers)
        for (_, indices), judgements in zip(parts, done, strict=True):
            results.update(zip(indices, judgements, strict=True))
    except (KeyboardInterrupt, SystemExit):
        _workers.restart()  # their results are no longer needed
        raise
    return [results[index] for index in range(len(texts))]


def _request(kind: str, gold: Any, prompt: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Create a request without its completions.

    Raises:
        LearnAlignError: for an unknown kind.
    """
    if kind not in KINDS:
        raise LearnAlignError(
            f"got the reward kind '{kind}'",
            expected=f"one of {', '.join(KINDS)}: {nearest(kind, KINDS)}",
            do="correct reward_kwargs.kind",
        )
    answers = gold_texts(gold)
    return {
        "kind": kind,
        "golds": [text for answer in answers for text in golds(answer)] or [""],
        "prompt": prompt_text(prompt),
        "row": {"answer": answers[0] if answers else None, **row},
    }


def _judge(request: dict[str, Any], texts: list[str]) -> list[Judgement]:
    request["kind"] = route(request["kind"], Question.of(request))
    if request["kind"] == PROGRAM:
        request |= program_request(VerifierConfig())
    request |= {"completions": texts, "completion_ids": [[]] * len(texts)}
    with _workers.borrowed() as worker:
        return worker.judge(request)


def _reward(kind: str, judgement: Judgement) -> float | None:
    """Return the reward; warn if it is None (Python shows the same warning once)."""
    if judgement.reward is None:
        warnings.warn(f"no reward by {kind}: {judgement.detail}", RuntimeWarning, stacklevel=2)
    return judgement.reward
