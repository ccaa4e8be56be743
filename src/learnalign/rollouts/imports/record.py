"""One rollout as it was read from a file, whatever wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One rollout as recorded in a file."""

    location: str
    """File and row, for messages."""
    format: str
    """Name of the format in `imports.registry`."""
    ids: Mapping[str, str]
    """Possible ids of the problem, by column."""
    prompts: tuple[str, ...]
    """Texts that may be the whole prompt or the question."""
    prompt_ids: tuple[int, ...] | None
    step: int
    """Training step that sampled it; -1 if unknown."""
    completion: str | None = None
    """None if only ``token_ids`` are recorded, or nothing but the reward."""
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    finish_reason: str | None = None
    """``stop``, ``length``, or None if unknown."""
    reward: float | None = None
    model: str | None = None
    """Name or path of the model that sampled it, if the file says so."""
    temperature: float | None = None
    top_p: float | None = None
    mixed: bool = False
    """Whether the policy was updated while it was sampled."""

    context: tuple[str, ...] = ()
    """Messages before the question, if the prompt is recorded as messages."""
    reasons_apart: bool = False
    """Whether its thinking is recorded apart from its text, which is then not all of it."""
    digest: bytes = b""
    """Hash of the whole row, and the rollout's place in it."""
    is_named: bool = False
    """Whether the row names its rollout, so that an equal row is the same one."""
    is_multi_turn: bool = False
    """Whether it is no single response to a prompt; only its reward is known then."""

    @property
    def is_counted(self) -> bool:
        """Whether only the reward is known, neither text nor tokens."""
        return self.completion is None and self.token_ids is None
