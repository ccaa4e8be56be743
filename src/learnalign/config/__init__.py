"""All options, as one tree of models; a field's description is its ``--help`` text."""

from typing import Self

from pydantic import model_validator

from learnalign.config.data import DataConfig, ModelConfig, PromptConfig
from learnalign.config.rollouts import RolloutConfig, ServerConfig, VerifierConfig, VllmConfig
from learnalign.config.run import ClusterConfig, RunConfig
from learnalign.config.section import Section
from learnalign.config.selection import FeatureConfig, GradientConfig, SelectionConfig
from learnalign.config.training import StagesConfig, TrainingConfig
from learnalign.errors import LearnAlignError

__all__ = [
    "ClusterConfig",
    "Config",
    "DataConfig",
    "FeatureConfig",
    "GradientConfig",
    "ModelConfig",
    "PromptConfig",
    "RolloutConfig",
    "RunConfig",
    "SelectionConfig",
    "ServerConfig",
    "StagesConfig",
    "TrainingConfig",
    "VerifierConfig",
    "VllmConfig",
]


class Config(Section):
    """The whole configuration, as written to ``config.yaml``."""

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

    @model_validator(mode="after")
    def _server_has_the_policy(self) -> Self:
        if self.rollouts.engine == "server" and self.selection.warmup is not None:
            raise LearnAlignError(
                "got --warmup with the engine 'server': the server does not serve the policy that "
                "the warm-up trains",
                expected="a separate warm-up, whose model is then served",
                do="run learnalign warmup, serve its model, and select with it",
            )
        return self

    @model_validator(mode="after")
    def _reused_rollouts_are_the_policys(self) -> Self:
        if self.rollouts.reuse is None:
            return self
        if self.rollouts.engine == "recorded":
            raise LearnAlignError(
                f"got --reuse {self.rollouts.reuse} with recorded rollouts: nothing is sampled "
                "that it could replace",
                expected="either recorded rollouts, or an engine that samples what is missing",
                do="leave out --reuse or --recorded",
            )
        if self.selection.warmup is not None:
            raise LearnAlignError(
                f"got --reuse {self.rollouts.reuse} with --warmup: the policy that the warm-up "
                "trains did not sample them",
                expected="rollouts of the policy that selects",
                do="leave out --reuse or --warmup",
            )
        return self
