"""What the stages share while a run works: the policy's tokenizer and weights."""

from functools import cached_property
from typing import Any

from learnalign.config import Config, ModelConfig


class Workshop:
    """What the stages share while a run works: the policy's tokenizer and weights."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @cached_property
    def tokenizer(self) -> Any:
        """The policy's tokenizer."""
        from learnalign.models import load_tokenizer

        return load_tokenizer(self.config.model)

    def model(self, purpose: str, which: ModelConfig | None = None) -> Any:
        """Load the policy (or another model) for rollouts or gradients, in the dtype asked for."""
        from learnalign.models import load_model, resolve_device, resolve_dtype

        section = getattr(self.config, purpose)
        device = resolve_device(self.config.model.device)
        dtype = resolve_dtype(section.dtype, device)
        return load_model(which or self.config.model, dtype=dtype)
