"""A user's reward function, ``module:function``, called as GRPOTrainer calls it."""

import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.verifying.judgement import CORRECT, RETURNED_NONE, WRONG, Judgement, failed

#: Columns that TRL passes under other names.
_RENAMED = {"prompt", "completion", "completion_ids"}


@dataclass
class TrainerState:
    """The training state passed to a function as ``trainer_state``; step 0 of 0 in a selection."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    num_train_epochs: int = 0
    num_input_tokens_seen: int = 0
    total_flos: float = 0.0
    log_history: list[dict[str, float]] = field(default_factory=list)
    best_metric: float | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True


class TrlFunction:
    """Judges all completions of a problem with one call of the user's function.

    Args:
        name: ``module:function``.

    Raises:
        LearnAlignError: if the module or the function does not exist.
        BaseException: any other exception that the module raises on import.
    """

    def __init__(self, name: str) -> None:
        self.function = load_function(name)

    def __call__(self, request: Mapping[str, Any]) -> list[Judgement]:
        """Call the function.

        Its arguments are ``prompts``, ``completions``, ``completion_ids`` and every column of the
        user's row, each a list with one entry per completion, and ``trainer_state``, ``log_extra``
        and ``log_metric``. If the row's ``prompt`` is a list of messages, prompts and completions
        are conversations. An async function is awaited.

        Args:
            request: ``row``, ``prompt``, ``messages``, ``completions``, ``completion_ids``, and in
                a training ``trainer_state``.

        Raises:
            TypeError: if it does not return one reward per completion.
        """
        row, count = request["row"], len(request["completions"])
        conversational = isinstance(row.get("prompt"), list)
        columns = {name: [value] * count for name, value in row.items() if name not in _RENAMED}
        completions: list[Any] = request["completions"]
        if conversational:
            completions = [[{"role": "assistant", "content": text}] for text in completions]
        rewards = self.function(
            **{
                **columns,
                "prompts": [request["messages"] if conversational else request["prompt"]] * count,
                "completions": completions,
                "completion_ids": request["completion_ids"],
                "trainer_state": TrainerState(**request.get("trainer_state") or {}),
                "log_extra": _ignored,
                "log_metric": _ignored,
            }
        )
        if inspect.isawaitable(rewards):
            import asyncio  # slow to import, and few functions are async

            rewards = asyncio.run(_awaited(rewards))
        return [_judgement(reward) for reward in _as_list(rewards, count)]


def load_function(name: str) -> Callable[..., Any]:
    """Import a function by its name, ``module:function``.

    Raises:
        LearnAlignError: if the module or the function does not exist.

    Example:
        >>> load_function("math:sqrt")(9)
        3.0
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise LearnAlignError(
            f"cannot import the verifier's module '{module_name}': {error}",
            expected="module:function, importable from the current folder or installed",
            do="check the name, or run from the folder that contains the module",
        ) from error
    function: Any = module
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        names = [n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_")]
        file = getattr(module, "__file__", None)
        raise LearnAlignError(
            f"'{module_name}'{f' ({file})' if file else ''} has no function '{attribute}'",
            expected=nearest(attribute, names) if names else "a module with functions",
            do="correct --verifier; an installed module with the same name takes precedence "
            "over one in the current folder",
        )
    result: Callable[..., Any] = function
    return result


def _as_list(rewards: Any, count: int) -> list[Any]:
    """Convert a list, tuple, array, tensor or single number to a list of rewards.

    Raises:
        TypeError: unless there is one per completion.
    """
    if count == 1 and (isinstance(rewards, int | float) or getattr(rewards, "ndim", None) == 0):
        rewards = [rewards]
    unordered = isinstance(rewards, str | bytes | Mapping | set | frozenset)
    if unordered or not isinstance(rewards, Iterable) or getattr(rewards, "ndim", 1) == 0:
        raise TypeError(f"returned {type(rewards).__name__}, not a list of {count} rewards")
    result = list(rewards)
    if len(result) != count:
        kind = type(rewards).__name__
        raise TypeError(f"returned {kind} of {len(result)}, not a list of {count} rewards")
    return result


def _judgement(reward: Any) -> Judgement:
    """Convert a reward to a judgement; TRL represents None as NaN."""
    if reward is None:
        return failed(RETURNED_NONE)
    if isinstance(reward, str | bytes):
        return failed(f"a reward is {type(reward).__name__}, not a number")
    try:
        value = float(reward.item() if hasattr(reward, "item") else reward)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        return failed(f"a reward is {type(reward).__name__}, not a number: {error}")
    if math.isnan(value):
        return failed(RETURNED_NONE)
    if math.isinf(value):
        return failed(f"the reward function returned {value}")
    return Judgement(CORRECT if value > 0.5 else WRONG, value)


def _ignored(*_: Any, **__: Any) -> None:
    """Discard a function's log messages: there is no trainer."""


async def _awaited(rewards: Any) -> Any:
    return await rewards
