"""Options of the gradients, the features and the selection."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from learnalign.config.section import Dtype, Fraction, Section
from learnalign.storage.paths import StoragePath


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
    """File of Adam's second moments to divide gradients by, as LESS does
    (docs/concepts/gradients.md)."""
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
    """learnalign, or one of those it is compared with (docs/concepts/methods.md): learnability,
    alignment, inner_product, gradalign, diverse, facility_location, features, band, perplexity_top,
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
    history: StoragePath | None = None
    """What limr and history_variance look at: the folder of a training on these problems, or a
    JSONL or Parquet file with the columns problem_id and success_rates (lists, in their order)."""
    warmup: PositiveInt | None = None
    """How many random problems a short GRPO run trains on first; rollouts and gradients use its
    policy. The training section says how."""
    num_bootstrap: Annotated[int, Field(ge=0)] = 200
    """Resamples of the rollouts for the stability figure; below 2 leaves it out."""
