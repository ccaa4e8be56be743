"""Options for the policy, the pool of problems and the prompt."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from learnalign.config.section import Section


class ModelConfig(Section):
    """The policy: the model that samples the rollouts and whose gradients are computed."""

    path: str = ""
    """Model folder or hub name."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    adapter: Path | None = None
    """Folder of a PEFT adapter to load on top of the model."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1 or mps."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Use only with models you trust."""


class DataConfig(Section):
    """The pool of problems and how its rows are read."""

    paths: tuple[str, ...] = ()
    """Files, folders, hub names, or reasoning-gym:NAME?size=100&seed=1 specs."""
    split: str = "train"
    """Split of a hub data set or a datasets folder."""
    prompt_column: str | None = None
    """Column of the question, prompt or chat messages (use dots for nested columns)."""
    answer_column: str | None = None
    """Column of the gold answer."""
    answer_form: Literal["auto", "text", "index"] = "auto"
    """How to read the answer column: auto (detect from its contents), text (as is) or index (the
    0-based position of the correct option)."""
    last_assistant: Literal["drop", "prefill"] = "drop"
    """How to treat an assistant message at the end of a chat: drop it as a reference answer that
    the model must not see, or prefill it as the beginning of the model's answer."""
    tool_rows: Literal["exclude", "keep"] = "exclude"
    """How to treat rows that define tools, an agent or an environment: exclude them, or keep them.
    Those kept are sampled in one turn without tools, and are exported in their own format only."""
    id_column: str | None = None
    """Column of your own ids; by default, ids are hashes of prompt and answer."""
    source_column: str | None = None
    """Column that names each problem's source, for the report's tables."""
    difficulty_column: str | None = None
    """Column of the level or difficulty, for the report's tables."""
    limit: PositiveInt | None = None
    """Read only the first N rows of each source."""
    sample: PositiveInt | None = None
    """Keep only N problems of the pool, chosen at random by run.seed."""
    keep_near_duplicates: bool = False
    """Keep problems that differ only in case, spaces and punctuation; exact copies are always
    dropped."""
    decontaminate: tuple[Path, ...] = ()
    """Benchmark files; problems that appear in them are dropped and listed."""
    decontaminate_ngram: PositiveInt = 13
    """Consecutive words that a problem must share with a benchmark to count as contaminated."""


class PromptConfig(Section):
    """How a problem is turned into the model's prompt."""

    template: str | None = None
    """Jinja template (text or file) with variables messages, question, system and row; by default,
    the model's chat template."""
    system: str | None = None
    """System prompt."""
    instruction: str | None = None
    """Text appended to the question, e.g. how to format the answer. A Jinja template with variable
    row."""
    assistant_prefix: str | None = None
    """Beginning of the assistant's turn, for base and tiny models. A Jinja template with variable
    row."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables for the model's chat template: --set
    prompt.chat_template_kwargs.enable_thinking=false. They are also passed to a server's chat API
    and to the trainer recipes."""
