"""Every option there is, as one tree of models; a field's description is its ``--help``."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class Section(BaseModel):
    """A part of the tree: unknown keys are errors, values cannot change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]


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


class RolloutConfig(Section):
    """How the problems are sampled."""

    engine: Literal["transformers", "recorded"] = "transformers"
    """transformers samples here; recorded reads rollouts that exist already."""
    recorded: tuple[Path, ...] = ()
    """Files of rollouts (JSONL or Parquet with completions, and rewards if there are any)."""
    num_rollouts: Annotated[int, Field(ge=2)] = 8
    """G, rollouts a problem."""
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """Sampling temperature; the policy gradient is taken at the same one."""
    top_p: Fraction = 1.0
    """Nucleus sampling: keep the likeliest tokens of this total probability."""
    max_tokens: PositiveInt = 1024
    """Longest response, in tokens."""
    stop: tuple[str, ...] = ()
    """Strings at which a response ends (the string itself is left out of the completion)."""
    token_budget: PositiveInt = 16_384
    """Tokens (prompt and response, padding included) a batch may hold."""
    dtype: Dtype = "auto"
    """auto: bfloat16 where this device is quick at it, else float32."""


class VerifierConfig(Section):
    """How an answer is found right or wrong."""

    kind: str = "auto"
    """auto (recorded rewards, else reasoning_gym for its own rows, else math), math, text, choice,
    number, reasoning_gym, or module:function (TRL's signature)."""
    timeout_s: Annotated[float, Field(gt=0.0)] = 5.0
    """Seconds a single answer may take before its worker is killed."""
    workers: PositiveInt | None = None
    """Worker processes; default: the processors of this machine."""


class GradientConfig(Section):
    """What is differentiated, and how its gradient is stored."""

    loss: Literal["grpo", "dr_grpo", "dapo"] = "grpo"
    """How tokens and responses are weighted: TRL's loss_type."""
    scale_rewards: Literal["group", "none"] = "group"
    """Divide a group's advantages by its standard deviation, or not."""
    parameters: Literal["linear", "lora"] = "linear"
    """All linear layers' weights (head and embeddings left out), or a LoRA adapter's parameters."""
    lora_rank: PositiveInt = 16
    """Rank of the fresh, seeded adapter that lora uses when the model has none."""
    sketch_size: Annotated[int, Field(ge=16)] = 8192
    """d, values a problem (float16 on disk)."""
    input_width: Annotated[int, Field(ge=0)] = 16
    """Random combinations of a layer's inputs that its gradient is formed with; 0 for all inputs,
    which is exact and slower."""
    preconditioner: Path | None = None
    """File of Adam's second moments to divide gradients by, as LESS does (docs/gradients.md)."""
    token_budget: PositiveInt | None = None
    """Tokens a batch may hold; found from the free memory if not given, halved when it runs out."""
    dtype: Dtype = "auto"
    """auto: bfloat16 where this device is quick at it, else float32. Sums are float32 anyway."""
    num_resampled: Annotated[int, Field(ge=0)] = 64
    """Problems whose gradient is taken a second time on resampled rollouts, for the stability."""


class SelectionConfig(Section):
    """Which problems are chosen."""

    budget: PositiveInt | Fraction | None = None
    """K problems (an integer), or a fraction of the pool (0.1)."""
    method: str = "learnalign"
    """learnalign, learnability, alignment, band, random."""
    learnability: Literal["plugin", "unbiased"] = "plugin"
    """p(1-p) as the paper has it, or its unbiased estimate G/(G-1) p(1-p)."""
    target: str | None = None
    """Problems to align to instead of the pool: a column=value pair of the pool's rows, or a file
    of problem ids (one a line)."""
    band: tuple[float, float] = (0.2, 0.8)
    """Success rates that method band keeps."""
    num_bootstrap: Annotated[int, Field(ge=0)] = 200
    """Resamples of the rollouts for the stability figure; below 2 leaves it out."""


class RunConfig(Section):
    """Where and how the work is done."""

    out: Path = Path("runs/select")
    """Run folder."""
    seed: int = 0
    """Seed of everything that is random."""
    shard_size: PositiveInt = 64
    """Problems a shard; what a kill can cost at most."""


class Config(Section):
    """The whole tree, as it is written to ``config.yaml``."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    prompt: PromptConfig = PromptConfig()
    rollouts: RolloutConfig = RolloutConfig()
    verifier: VerifierConfig = VerifierConfig()
    gradients: GradientConfig = GradientConfig()
    selection: SelectionConfig = SelectionConfig()
    run: RunConfig = RunConfig()
