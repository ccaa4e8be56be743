"""Options for training and staged training."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from learnalign.config.section import Dtype, Section
from learnalign.storage.paths import StoragePath


class TrainingConfig(Section):
    """GRPO on the chosen problems; the gradients section sets the loss."""

    trainer: Literal["native", "trl"] = "native"
    """native: LearnAlign's own training loop; trl: TRL's GRPOTrainer."""
    subset: str = "selected"
    """Problems of the run to train on: selected, random (a random subset of the same size), all,
    or a file of ids."""
    num_problems: PositiveInt | None = None
    """Train only on a random subset of this size."""
    problems_per_step: PositiveInt = 48
    """Problems per step; each has rollouts.num_rollouts rollouts."""
    epochs: Annotated[float, Field(gt=0.0)] = 1.0
    """Passes over the problems."""
    steps: PositiveInt | None = None
    """Number of training steps; overrides epochs."""
    max_rollouts: PositiveInt | None = None
    """Stop after the step in which this many rollouts have been sampled, dropped ones included;
    overrides epochs."""
    curriculum: Literal["order", "dynamic", "mopps", "greso", "mapp", "learnalign"] = "order"
    """Which problems each step samples: order (passes over all), dynamic (drops groups without a
    signal and refills), or by what the training has observed: mopps, greso, mapp, learnalign
    (docs/concepts/curriculum.md). Native trainer only."""
    curriculum_options: dict[str, Any] = Field(default_factory=dict)
    """Other options of the curriculum's class: --set training.curriculum_options.discount=0.5;
    text=false makes learnalign ignore the prompts' words."""
    known_success: str | None = None
    """Column of success rates known before the training, from 0 to 1, such as another run's; a
    prior of mopps, mapp and learnalign."""
    known_rollouts: PositiveInt = 8
    """Rollouts that a known success rate counts as, also one of a history that only has rates."""
    history: StoragePath | None = None
    """Success rates of an earlier training, which mopps, mapp, greso and learnalign learn from
    before the first step: whatever select takes as --history."""
    shuffled: bool = True
    """Shuffle the problems in each epoch; otherwise they keep the order of the scores or the
    file. No effect with mopps and mapp, which have no epochs."""
    parameters: Literal["full", "lora"] = "full"
    """Train all weights, or a LoRA adapter on every linear layer."""
    lora_rank: PositiveInt = 16
    """Rank of the adapter; alpha is twice the rank."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-6
    """AdamW's learning rate; the default is the paper's for full weights. Adapters need about 100
    times as much."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises from 0."""
    kl_beta: Annotated[float, Field(ge=0.0)] = 0.04
    """Weight of the KL term that keeps the policy close to the initial model; 0 disables it."""
    clip: Annotated[float, Field(gt=0.0)] = 0.2
    """Clipping range of the importance ratio. It matters only if rollouts are trained on more than
    once (training.trl.num_iterations); on fresh rollouts the ratio is 1."""
    max_grad_norm: Annotated[float, Field(ge=0.0)] = 1.0
    """Gradient clipping norm; 0 disables clipping."""
    save_every: PositiveInt = 50
    """Steps between checkpoints, which is the most work that an interruption can lose."""
    dtype: Dtype = "auto"
    """auto: bfloat16 (with float32 master weights) if it is fast on this device, else float32."""
    sampling: Literal["learnalign", "trl"] = "learnalign"
    """Sampling engine of TRL's trainer: LearnAlign's, or TRL's own (including vLLM)."""
    trl: dict[str, Any] = Field(default_factory=dict)
    """Other options of TRL's GRPOConfig, which override those above: --set
    training.trl.num_iterations=2."""


class StagesConfig(Section):
    """Staged training: select, train, and select again with the trained policy."""

    count: PositiveInt = 3
    """Number of stages; each chooses selection.budget problems and trains on them."""
    easy_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of each stage's problems that are already solved, to prevent forgetting."""
    reuse_steps: Annotated[int, Field(ge=0)] = 4
    """Number of last training steps whose rollouts the next selection reuses; 0 samples new
    ones."""
