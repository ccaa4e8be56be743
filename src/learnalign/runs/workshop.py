"""What the stages share while a run works: the policy's tokenizer and weights."""

from functools import cached_property
from typing import Any

from learnalign.config import Config, ModelConfig
from learnalign.rollouts.engine import Engine


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

    def engine(self) -> Engine:
        """Open the engine of rollouts that is asked for."""
        config = self.config
        if config.rollouts.engine == "recorded":
            from learnalign.rollouts.recorded import RecordedEngine

            return RecordedEngine(config.rollouts, self.tokenizer)
        engine = self._sampling_engine()
        if config.rollouts.reuse is None:
            return engine
        from learnalign.rollouts.reused import ReusedEngine, recent_groups

        groups = recent_groups(
            config.rollouts.reuse,
            steps=config.rollouts.reuse_steps,
            num_rollouts=config.rollouts.num_rollouts,
        )
        return ReusedEngine(groups, engine)

    def _sampling_engine(self) -> Engine:
        from learnalign.rollouts.transformers import TransformersEngine

        config = self.config
        model = self.model("rollouts")
        return TransformersEngine(model, self.tokenizer, config.rollouts, seed=config.run.seed)
