"""The question a verifier sees: a problem's golds, prompt and original row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """The parts of a problem that decide how answers are judged."""

    golds: tuple[str, ...]
    """Gold answers, any of which is right."""
    prompt: str = ""
    """The text that the model saw; empty where it is not known."""
    row: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Question":
        """Read one out of a request: ``golds``, ``row`` and, if it is known, ``prompt``."""
        return cls(tuple(plain["golds"]), plain.get("prompt") or "", plain["row"])
