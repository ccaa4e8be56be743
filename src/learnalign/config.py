"""Every option there is, as one tree of models; a field's description is its ``--help``."""

from pathlib import Path
from typing import Annotated, Any, Literal

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

    engine: Literal["transformers", "vllm", "server", "recorded"] = "transformers"
    """transformers and vllm sample here; server asks an OpenAI-compatible endpoint; recorded reads
    rollouts that exist already."""
    recorded: tuple[Path, ...] = ()
    """Files of rollouts (JSONL or Parquet with completions, and rewards if there are any)."""
    num_rollouts: PositiveInt = 8
    """G, rollouts a problem; a group needs two."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Sampling temperature; the policy gradient is taken at the same one. 0 is greedy, and only
    for evaluating."""
    top_p: Fraction = 1.0
    """Nucleus sampling: keep the likeliest tokens of this total probability."""
    max_tokens: PositiveInt = 1024
    """Longest response, in tokens."""
    stop: tuple[str, ...] = ()
    """Strings at which a response ends (the string itself is left out of the completion)."""
    reuse: Path | None = None
    """Folder of the training that made the policy: rollouts of its last steps stand in for new
    ones."""
    reuse_steps: PositiveInt = 4
    """How many of its last steps are recent enough (docs/training.md)."""
    token_budget: PositiveInt = 16_384
    """Tokens (prompt and response, padding included) a batch may hold."""
    dtype: Dtype = "auto"
    """auto: bfloat16 where this device is quick at it, else float32."""


class ServerConfig(Section):
    """The OpenAI-compatible endpoint that rollouts.engine=server asks (docs/servers.md)."""

    url: str | None = None
    """Its base address, such as http://localhost:8000/v1."""


class VllmConfig(Section):
    """How rollouts.engine=vllm runs (docs/rollouts.md)."""

    tensor_parallel_size: PositiveInt = 1
    """GPUs that share the model's weights."""


class ClusterConfig(Section):
    """Where the stages' shards are made."""

    on: str = "here"
    """here, ray (the cluster this machine is part of, or one of its own), or ray://address:10001."""
    workers: PositiveInt = 2
    """Actors that make shards side by side; each loads the model once."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None
    """GPUs an actor that runs the model holds; if not given, 1 where the cluster has any."""
    cpus_per_worker: Annotated[float, Field(gt=0.0)] = 1.0
    """Processors an actor holds."""


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
    kl_beta: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the KL term towards gradients.reference; the paper has 0.04, TRL 0."""
    reference: str | None = None
    """Model that the KL term pulls towards, where the policy has been trained: folder or hub name.
    If not given, the model without its adapter, or the one that was warmed up."""
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


class FeatureConfig(Section):
    """What the model is asked of a problem without sampling, for the methods that look at it."""

    ratings: bool = False
    """Ask for SelectIT's rating too: five forward passes a problem more."""


class SelectionConfig(Section):
    """Which problems are chosen."""

    budget: PositiveInt | Fraction | None = None
    """K problems (an integer), or a fraction of the pool (0.1)."""
    method: str = "learnalign"
    """learnalign, or one of those it is compared with (docs/methods.md): learnability, alignment,
    inner_product, gradalign, diverse, facility_location, features, band, perplexity_top,
    perplexity_middle, ifd, token_length, selectit, limr, history_variance, random."""
    learnability: Literal["plugin", "unbiased"] = "plugin"
    """p(1-p) as the paper has it, or its unbiased estimate G/(G-1) p(1-p)."""
    target: str | None = None
    """Problems to align to instead of the pool: a column=value pair of the pool's rows, or a file
    of problem ids (one a line)."""
    band: tuple[float, float] = (0.2, 0.8)
    """Success rates that method band keeps."""
    per_source: bool = False
    """Rank within each source, and take from each in proportion to its problems with a signal: a
    mixture stays one."""
    history: Path | None = None
    """What limr and history_variance look at: the folder of a training on these problems, or a
    JSONL or Parquet file with the columns problem_id and success_rates (lists, in their order)."""
    warmup: PositiveInt | None = None
    """Problems of a short GRPO run before all else, drawn by lot; its policy is what rollouts and
    gradients are taken of. The training section says how it is done."""
    num_bootstrap: Annotated[int, Field(ge=0)] = 200
    """Resamples of the rollouts for the stability figure; below 2 leaves it out."""


class TrainingConfig(Section):
    """GRPO on the chosen problems; the objective is that of the gradients' section."""

    trainer: Literal["native", "trl"] = "native"
    """native: a small loop on this project's own engines; trl: TRL's GRPOTrainer."""
    subset: str = "selected"
    """Of a run's problems: selected, random (as many, by lot), all, or a file of ids."""
    num_problems: PositiveInt | None = None
    """Train on so many of the problems only, drawn by lot."""
    problems_per_step: PositiveInt = 48
    """Problems a step; each has rollouts.num_rollouts rollouts."""
    epochs: Annotated[float, Field(gt=0.0)] = 1.0
    """Passes over the problems."""
    steps: PositiveInt | None = None
    """Steps to train, whatever the epochs."""
    shuffled: bool = True
    """Each pass in an order of its own; else in the order of the score, or of the file."""
    parameters: Literal["full", "lora"] = "full"
    """Train all weights, or a LoRA adapter on every linear layer."""
    lora_rank: PositiveInt = 16
    """Rank of the adapter; its alpha is twice that."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-6
    """AdamW's; the paper's for full weights. An adapter wants a hundred times as much."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What the learning rate does until the last step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises from 0."""
    kl_beta: Annotated[float, Field(ge=0.0)] = 0.04
    """Weight of the KL term that holds the policy near the model it began as; 0 leaves it out."""
    clip: Annotated[float, Field(gt=0.0)] = 0.2
    """Bound of the importance ratio. It acts where rollouts are trained on more than once
    (training.trl.num_iterations); on a policy's own fresh rollouts the ratio is 1."""
    max_grad_norm: Annotated[float, Field(ge=0.0)] = 1.0
    """Longer gradients are cut to this norm; 0 leaves them."""
    save_every: PositiveInt = 50
    """Steps between two checkpoints; what a kill can cost at most."""
    dtype: Dtype = "auto"
    """auto: bfloat16 (with float32 master weights) where this device is quick at it, or float32."""
    sampling: Literal["learnalign", "trl"] = "learnalign"
    """Who samples for TRL's trainer: this project's engine, or TRL's own (vLLM among them)."""
    trl: dict[str, Any] = {}
    """Any option of TRL's GRPOConfig, over those above: --set training.trl.num_iterations=2."""


class StagesConfig(Section):
    """Staged RL: select, train, select again with the policy that came out."""

    count: PositiveInt = 3
    """Stages; each chooses selection.budget problems and trains on them."""
    easy_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of a stage's problems that are solved ones, so that they are not forgotten."""
    reuse_steps: Annotated[int, Field(ge=0)] = 4
    """Rollouts of a training's last steps that the next selection takes over; 0 samples anew."""


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
    server: ServerConfig = ServerConfig()
    vllm: VllmConfig = VllmConfig()
    verifier: VerifierConfig = VerifierConfig()
    gradients: GradientConfig = GradientConfig()
    features: FeatureConfig = FeatureConfig()
    selection: SelectionConfig = SelectionConfig()
    training: TrainingConfig = TrainingConfig()
    stages: StagesConfig = StagesConfig()
    cluster: ClusterConfig = ClusterConfig()
    run: RunConfig = RunConfig()
