"""Options of training, and of stages."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from learnalign.config.section import Dtype, Section


class TrainingConfig(Section):
    """GRPO on the chosen problems; the objective is that of the gradients' section."""

    trainer: Literal["native", "trl"] = "native"
    """native: a small loop on this project's own engines; trl: TRL's GRPOTrainer."""
    subset: str = "selected"
    """Of a run's problems: selected, random (as many, at random), all, or a file of ids."""
    num_problems: PositiveInt | None = None
    """Train on so many of the problems only, sampled at random."""
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
    trl: dict[str, Any] = Field(default_factory=dict)
    """Any option of TRL's GRPOConfig, over those above: --set training.trl.num_iterations=2."""


class StagesConfig(Section):
    """Staged RL: select, train, select again with the policy that came out."""

    count: PositiveInt = 3
    """Stages; each chooses selection.budget problems and trains on them."""
    easy_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of a stage's problems that are solved ones, so that they are not forgotten."""
    reuse_steps: Annotated[int, Field(ge=0)] = 4
    """Rollouts of a training's last steps that the next selection takes over; 0 samples anew."""
