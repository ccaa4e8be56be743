"""A reward function of the user's own, ``module:function``, with TRL's signature."""

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from learnalign.errors import LearnAlignError, nearest
from learnalign.verifying.judgement import CORRECT, WRONG, Judgement


def load_function(name: str) -> Callable[..., Any]:
    """Import a function by its name, ``module:function``; the current folder is searched first.

    Raises:
        LearnAlignError: if there is no such module or function.

    Example:
        >>> load_function("math:sqrt")(9)
        3.0
    """
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise LearnAlignError(
            f"cannot import the verifier's module '{module_name}': {error}",
            expected="module:function, importable from the current folder or installed",
            do="check the name, or run from the folder that holds it",
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_")]
        raise LearnAlignError(
            f"'{module_name}' has no function '{attribute}'",
            expected=nearest(attribute, names),
            do="correct --verifier",
        )
    found: Callable[..., Any] = function
    return found


def call(function: Callable[..., Any], group: Mapping[str, Any]) -> list[Judgement]:
    """Call a reward function on one problem's completions, as TRL's GRPOTrainer does.

    It gets ``prompts``, ``completions``, ``completion_ids`` and every column of the user's row,
    each a list with one entry a completion. Where the row's ``prompt`` is a list of messages,
    prompts and completions are conversations. An async function is awaited.

    Args:
        function: Returns a list of numbers; None where it cannot say.
        group: ``row``, ``prompt``, ``messages``, ``completions``, ``completion_ids``.
    """
    row, count = group["row"], len(group["completions"])
    conversational = isinstance(row.get("prompt"), list)
    columns = {k: [v] * count for k, v in row.items() if k not in {"prompt", "completion"}}
    completions: list[Any] = group["completions"]
    if conversational:
        completions = [[{"role": "assistant", "content": text}] for text in completions]
    rewards = function(
        prompts=[group["messages"] if conversational else group["prompt"]] * count,
        completions=completions,
        **(columns | {"completion_ids": group["completion_ids"]}),
    )
    if inspect.isawaitable(rewards):
        rewards = asyncio.run(_awaited(rewards))
    if not isinstance(rewards, list | tuple) or len(rewards) != count:
        raise TypeError(f"gave {type(rewards).__name__}, not a list of {count} rewards")
    return [_judgement(reward) for reward in rewards]


async def _awaited(rewards: Any) -> Any:
    return await rewards


def _judgement(reward: Any) -> Judgement:
    if reward is None:
        return Judgement("error", None, detail="the reward function gave None")
    value = float(reward)
    if value != value or abs(value) == float("inf"):
        return Judgement("error", None, detail=f"the reward function gave {value}")
    return Judgement(CORRECT if value > 0.5 else WRONG, value)
