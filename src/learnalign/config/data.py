"""Options of the policy, the pool of problems and the prompt."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from learnalign.config.section import Section


class ModelConfig(Section):
    """The policy: the model whose rollouts and gradients decide."""

    path: str = ""
    """Model folder, or hub name."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    adapter: Path | None = None
    """PEFT adapter folder to put on the model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for models you trust."""


class DataConfig(Section):
    """The pool of problems and how its rows are read."""

    paths: tuple[str, ...] = ()
    """Files, folders, hub names, or reasoning-gym:NAME?size=100&seed=1 specs."""
    split: str = "train"
    """Split of a hub data set or a datasets folder."""
    prompt_column: str | None = None
    """Column of the question, the prompt or the chat messages (dots reach into nested columns)."""
    answer_column: str | None = None
    """Column of the checkable answer."""
    answer_form: Literal["auto", "text", "index"] = "auto"
    """How the answer column is read: auto (by its contents), text (as it stands), index (the place
    of the right option, counted from 0)."""
    last_assistant: Literal["drop", "prefill"] = "drop"
    """What an assistant's message at the end of a chat is: a reference answer, which the model must
    not see (drop), or the beginning of the answer, which it goes on from (prefill)."""
    id_column: str | None = None
    """Column of your own ids (else ids are hashes of prompt and answer)."""
    source_column: str | None = None
    """Column that says where a problem comes from, for the report's tables."""
    difficulty_column: str | None = None
    """Column of the level or difficulty, for the report's tables."""
    limit: PositiveInt | None = None
    """Read only the first N rows of each source."""
    keep_near_duplicates: bool = False
    """Keep problems that differ only in case, spaces and punctuation (exact copies always go)."""
    decontaminate: tuple[Path, ...] = ()
    """Benchmark files: problems that stand in them are dropped and listed."""
    decontaminate_ngram: PositiveInt = 13
    """Words that must stand in both, in a row, for a problem to count as contaminated."""


class PromptConfig(Section):
    """How a problem becomes the text that the model sees."""

    template: str | None = None
    """Jinja template (text or file) over messages, question, system, row; else the model's own."""
    system: str | None = None
    """System prompt."""
    instruction: str | None = None
    """Text put after the question, e.g. how to write the answer. A Jinja template over row."""
    assistant_prefix: str | None = None
    """Beginning of the assistant's turn (base models and tiny ones). A Jinja template over row."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables of the model's chat template, such as enable_thinking: --set
    prompt.chat_template_kwargs.enable_thinking=false. A server's chat API and the recipes for
    trainers get them too."""
