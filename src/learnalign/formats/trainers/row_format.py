"""What a trainer's rows look like: how to recognise one, and how to build one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Messages = list[dict[str, str]]
Path = tuple[str, ...]


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
    prompt: Path
    """Path of the prompt in a row that is built."""
    gold: Path
    """Path of the gold in a row that is built."""
    read_with: str
    """The trainer's options that read such a file."""
    proof: str
    """What showed that the trainer reads it."""
    text_prompt: bool = False
    """Whether the prompt is one text, so that neither a system message nor several turns fit."""
    system_prompt: str = ""
    """Where such a trainer takes a system prompt instead."""
    verbatim: bool = False
    """Whether text at `prompt` goes to the model as it is; elsewhere it is a user's message."""
    reads: tuple[tuple[Path, Path], ...] = ()
    """Paths of prompt and gold that the trainer reads, the first that a row has; by default, those
    of built rows."""
    system: Path = ()
    """Path of a system prompt that the trainer reads apart from the prompt."""

    def paths(self, row: Mapping[str, Any]) -> tuple[Path, Path]:
        """Return the paths of the prompt and the gold in a row of this format."""
        found = (pair for pair in self.reads if all(at(row, path) is not None for path in pair))
        return next(found, (self.prompt, self.gold))

    def asked(self, row: Mapping[str, Any]) -> Any:
        """Return the prompt that the trainer makes of a row: messages, or text used as it is."""
        path, _ = self.paths(row)
        own, system = at(row, path), at(row, self.system) if self.system else None
        if isinstance(own, str) and not (self.verbatim and path == self.prompt):
            own = [{"role": "user", "content": own}]
        return [{"role": "system", "content": system}, *own] if system else own


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
