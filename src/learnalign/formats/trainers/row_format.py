"""What a trainer's rows look like: how to recognise one, and how to build one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Problem:
    """A scored problem, from which a row is built."""

    problem_id: str
    messages: Messages
    gold: str
    source: str


@dataclass(frozen=True)
class RowFormat:
    """The rows that a trainer reads, as JSON Lines."""

    trainer: str
    """The trainer's own name."""
    recognises: Callable[[Mapping[str, Any]], bool]
    """Whether a row is already in this format."""
    build: Callable[[Problem], Row]
    """Makes a row."""
    prompt: tuple[str, ...]
    """Path of the prompt in a row."""
    gold: tuple[str, ...]
    """Path of the gold in a row."""
    read_with: str
    """The trainer's options that read such a file."""
    proof: str
    """What showed that the trainer reads it."""
    text_prompt: bool = False
    """Whether the prompt is one text, so that neither a system message nor several turns fit."""


def at(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value at a path, None where a part of it is missing.

    Example:
        >>> at({"reward_spec": {"ground_truth": "7"}}, ("reward_spec", "ground_truth"))
        '7'
        >>> at({"reward_spec": None}, ("reward_spec", "ground_truth")) is None
        True
    """
    value: Any = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def is_prompt(value: object) -> bool:
    """Return whether a value is a text, or chat messages with roles.

    Example:
        >>> is_prompt("1 + 1?"), is_prompt([{"role": "user", "content": "1 + 1?"}]), is_prompt([])
        (True, True, False)
    """
    if isinstance(value, str):
        return True
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, Mapping) and {"role", "content"} <= part.keys() for part in value)
    )


def last_text(messages: Messages) -> str:
    """Return the text of the last message: of a single user turn the whole prompt."""
    return messages[-1]["content"]
