"""Options for the gradients, the features and the selection."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from learnalign.config.section import Dtype, Fraction, Section
from learnalign.storage.paths import StoragePath

#: The kinds of findings of an audit.
Finding = Literal[
    "wrong-gold",
    "gold-unaccepted",
    "guessable",
    "answer-in-prompt",
    "unfollowed-reward",
    "copies",
    "unparsed",
    "no-signal-kind",
]


class GradientConfig(Section):
    """How policy gradients are computed and stored."""

    loss: Literal["grpo", "dr_grpo", "dapo"] = "grpo"
    """Weighting of tokens and responses: TRL's loss_type."""
    scale_rewards: Literal["group", "none"] = "group"
    """Whether to divide a group's advantages by its standard deviation."""
    parameters: Literal["linear", "lora"] = "linear"
    """Weights of all linear layers (without head and embeddings), or a LoRA adapter's
    parameters."""
    lora_rank: PositiveInt = 16
    """Rank of the randomly initialized adapter that lora uses if the model has none."""
    sketch_size: Annotated[int, Field(ge=16)] = 8192
    """d, sketch values per problem (float16 on disk)."""
    kl_beta: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the KL term towards gradients.reference; 0.04 in the paper, 0 in TRL."""
    reference: str | None = None
    """Reference model of the KL term (folder or hub name), if the policy has been trained. By
    default, the model without its adapter, or the model before the warm-up."""
    input_width: Annotated[int, Field(ge=0)] = 16
    """Random projections of a layer's inputs used for its gradient; 0 uses all inputs, which is
    exact and slower."""
    preconditioner: Path | None = None
    """File of Adam's second moments to divide gradients by, as in LESS
    (docs/concepts/gradients.md)."""
    token_budget: PositiveInt | None = None
    """Maximum tokens per batch; by default, chosen from the free memory. Halved when memory runs
    out."""
    attention: Literal["auto", "gathered", "flex"] = "auto"
    """How packed problems attend. gathered: torch's attention, over padded sequences; flex:
    FlexAttention, over the packed tokens. auto: flex on CUDA where a check finds it right, else
    gathered."""
    dtype: Dtype = "auto"
    """auto: bfloat16 if it is fast on this device, else float32. Sums are always float32."""
    num_resampled: Annotated[int, Field(ge=0)] = 64
    """Problems whose gradient is computed again on resampled rollouts, to estimate stability."""


class FeatureConfig(Section):
    """Features computed without sampling, for the methods that use them."""

    ratings: bool = False
    """Also compute SelectIT's ratings, with five more forward passes per problem."""


class SelectionConfig(Section):
    """Which problems are chosen."""

    budget: PositiveInt | Fraction | None = None
    """K problems (an integer), or a fraction of the pool (0.1)."""
    method: str = "signal"
    """signal: at random among the problems with a signal; learnalign: the paper's score, which
    needs gradients; or another (docs/concepts/methods.md): learnability, alignment, inner_product,
    gradalign, diverse, facility_location, features, band, perplexity_top, perplexity_middle, ifd,
    token_length, selectit, limr, history_variance, random."""
    learnability: Literal["plugin", "unbiased"] = "plugin"
    """plugin: p(1-p), as in the paper; unbiased: the estimate G/(G-1) p(1-p)."""
    target: str | None = None
    """Problems to align with instead of the whole pool: a column=value pair of the pool's rows, or
    a file of problem ids (one per line)."""
    band: tuple[float, float] = (0.2, 0.8)
    """Lowest and highest success rate that method band keeps."""
    per_source: bool = False
    """Rank within each source, and choose from each in proportion to its number of problems with
    signal, which preserves the mixture."""
    history: StoragePath | None = None
    """Training history for limr and history_variance: the folder of a training on these problems,
    the rollouts that any trainer left behind (as for --recorded), or a JSONL or Parquet file with
    columns problem_id and success_rates (lists, in order)."""
    drop: tuple[Finding, ...] = ()
    """Kinds of findings of the audit whose problems are left out, separated by commas: wrong-gold,
    gold-unaccepted, guessable, answer-in-prompt, unfollowed-reward, copies, unparsed,
    no-signal-kind (docs/guides/audit.md)."""
    warmup: PositiveInt | None = None
    """Number of random problems for a short GRPO run before selecting; rollouts and gradients use
    its policy. The training section configures it."""
    num_bootstrap: Annotated[int, Field(ge=0)] = 200
    """Bootstrap resamples of the rollouts for the stability estimate; below 2 skips it."""

    @field_validator("drop", mode="before")
    @classmethod
    def _split(cls, drop: Any) -> Any:
        """Read ``a,b`` like two values; a kind that is given twice counts once."""
        given = [drop] if isinstance(drop, str) else drop
        if not isinstance(given, list | tuple):
            return drop
        parts = [str(text).split(",") for text in given]
        return tuple(dict.fromkeys(kind.strip() for part in parts for kind in part))
