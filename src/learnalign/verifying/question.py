"""A verifier's view of a problem: golds, prompt and original row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """The parts of a problem that decide how answers are judged."""

    golds: tuple[str, ...]
    """Gold answers, any of which is correct."""
    prompt: str = ""
    """The text that the model saw; empty if unknown."""
    row: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Question":
        """Create it from a request with ``golds``, ``row`` and, if known, ``prompt``."""
        return cls(tuple(plain["golds"]), plain.get("prompt") or "", plain["row"])
