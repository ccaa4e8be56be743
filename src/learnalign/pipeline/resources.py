"""What the stages of a run share: one loaded model at a time, and the verifier."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config, ModelConfig
from learnalign.pipeline.fingerprints import reference_model
from learnalign.rollouts.engine import Engine
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import Verifier, open_verifier

if TYPE_CHECKING:
    from learnalign.features.engine import FeatureEngine
    from learnalign.gradients.engine import GradientEngine
    from learnalign.gradients.logprobs import LogProbs
    from learnalign.rollouts.endings import Endings

#: Problems that a user's reward function is tried on.
_NUM_TRIAL_PROBLEMS = 8


class Resources:
    """What the stages share while a run works: one loaded model at a time, and the verifier.

    An engine is opened when a shard first needs it, and stays open until another one is needed.
    Leaving the ``with`` block releases everything.

    Args:
        config: The options.
        progress: Shows what takes long before a stage's first shard.
    """

    def __init__(self, config: Config, progress: Progress | None = None) -> None:
        self.config, self.progress = config, progress or Progress("none")
        self._current: Any = None
        self._current_name = ""
        self._trial: list[tuple[pa.Table, pa.Table]] | None = None
        self._exit_stack = ExitStack()

    def __enter__(self) -> "Resources":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()
        self._exit_stack.close()

    @cached_property
    def tokenizer(self) -> Any:
        """The policy's tokenizer."""
        from learnalign.models.loading import load_tokenizer

        return load_tokenizer(self.config.model)

    @cached_property
    def verifier(self) -> Verifier:
        """Judges rollouts, in worker processes."""
        return self._exit_stack.enter_context(open_verifier(self.config.verifier))

    @property
    def engine(self) -> Engine:
        """The rollout engine of ``rollouts.engine``."""
        engine: Engine = self._opened("rollouts", self._engine)
        return engine

    @property
    def gradient_engine(self) -> "GradientEngine":
        """Computes policy gradients."""
        engine: GradientEngine = self._opened("gradients", self._gradient_engine)
        return engine

    @property
    def reference(self) -> "LogProbs":
        """Computes log-probabilities under the reference of the KL term."""
        engine: LogProbs = self._opened("references", self._reference)
        return engine

    @property
    def feature_engine(self) -> "FeatureEngine":
        """Computes what needs no sampling: hidden states, losses, ratings."""
        engine: FeatureEngine = self._opened("features", self._feature_engine)
        return engine

    def model(self, purpose: str, which: ModelConfig | None = None) -> Any:
        """Load the policy, or another model, in the dtype of the section ``purpose``."""
        from learnalign.models.loading import load_model, resolve_device, resolve_dtype

        section = getattr(self.config, purpose)
        device = resolve_device(self.config.model.device)
        dtype = resolve_dtype(section.dtype, device)
        return load_model(which or self.config.model, dtype=dtype)

    def keep_for_trial(self, problems: pa.Table, rollouts: pa.Table) -> None:
        """Keep a few rollouts of the first shard, to try a user's reward function on."""
        if self._trial is None and ":" in self.config.verifier.kind:
            trial = problems.slice(0, _NUM_TRIAL_PROBLEMS)
            of_trial = pc.is_in(rollouts["problem_id"], trial["problem_id"].combine_chunks())
            self._trial = [(trial, rollouts.filter(of_trial))]

    def try_function(self) -> None:
        """Try a user's reward function once, before a second shard is sampled.

        Raises:
            LearnAlignError: if it fails on all of them.
        """
        while self._trial:
            self.verifier.verify(*self._trial.pop())
            self.verifier.require_works()

    def discard_cached(self) -> None:
        """Let the rollout engine discard what it kept for shards that are now on disk."""
        if self._current_name == "rollouts":
            self._current.discard_cached()

    def _opened(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the engine of that name; another open one is released first."""
        if self._current_name != name:
            self._release()
            self._current, self._current_name = make(), name
        return self._current

    def _release(self) -> None:
        if self._current_name == "rollouts":
            self._current.close()
        self._current, self._current_name = None, ""

    def _engine(self) -> Engine:
        config = self.config
        if config.rollouts.engine == "recorded":
            return self._recorded_engine()
        engine = self._sampling_engine()
        if config.rollouts.reuse is None:
            return engine
        from learnalign.pipeline.reuse import PROMPT_COLUMNS, reused_groups
        from learnalign.rollouts.reused import ReusedEngine

        problems = RunFolder(config.run.out).batches("problems", PROMPT_COLUMNS)
        return ReusedEngine(reused_groups(config, problems), engine)

    def _recorded_engine(self) -> Engine:
        from learnalign.models.loading import context_length, vocabulary_size
        from learnalign.pipeline.imported import require_served
        from learnalign.rollouts.recorded import RecordedEngine

        folder = RunFolder(self.config.run.out)
        engine = RecordedEngine(
            self.config.rollouts,
            self.tokenizer,
            pool=lambda: folder.shards("problems"),
            endings=self._endings(),
            vocabulary=vocabulary_size(self.config.model),
            context=context_length(self.config.model),
            model=self.config.model.path,
            progress=self.progress,
        )
        if engine.has_counts:
            require_served(self.config)
        return engine

    def _endings(self) -> "Endings":
        """Return what ends a response to this run's prompts."""
        from learnalign.models.loading import end_ids
        from learnalign.rollouts.endings import Endings

        chat = self.config.prompt.template is None
        return Endings(self.tokenizer, chat=chat, others=end_ids(self.config.model))

    def _sampling_engine(self) -> Engine:
        config = self.config
        if config.rollouts.engine == "server":
            return self._server_engine()
        if config.rollouts.engine == "vllm":
            from learnalign.rollouts.vllm import VllmEngine

            return VllmEngine(config.model, config.rollouts, config.vllm, seed=config.run.seed)
        from learnalign.rollouts.transformers import TransformersEngine

        model = self.model("rollouts")
        return TransformersEngine(model, self.tokenizer, config.rollouts, seed=config.run.seed)

    def _server_engine(self) -> Engine:
        from learnalign.errors import LearnAlignError
        from learnalign.models.loading import context_length
        from learnalign.problems.prompts import Prompter
        from learnalign.rollouts.server import ServerEngine

        config, asked = self.config, None
        if config.server.api == "chat":
            if config.prompt.template is not None or config.prompt.assistant_prefix is not None:
                raise LearnAlignError(
                    "with the chat API the server builds the prompt: --template and "
                    "--assistant-prefix cannot be sent",
                    expected="server.api: completions, which sends the exact prompt",
                    do="leave out server.api",
                )
            if config.data.last_assistant == "prefill":
                raise LearnAlignError(
                    "with the chat API the server builds the prompt: the beginning of an answer "
                    "(--last-assistant prefill) cannot be sent",
                    expected="server.api: completions, which sends the exact prompt",
                    do="leave out server.api, or use --last-assistant drop",
                )
            asked = Prompter(self.tokenizer, config.prompt).with_instructions
        return ServerEngine(
            config.rollouts,
            config.server,
            self.tokenizer,
            seed=config.run.seed,
            context=context_length(config.model),
            journal=config.run.out / "requests",
            build_messages=asked,
            endings=self._endings(),
            template_kwargs=config.prompt.chat_template_kwargs,
        )

    def _gradient_engine(self) -> "GradientEngine":
        from learnalign.gradients.engine import GradientEngine

        return GradientEngine(
            self.model("gradients"),
            self.config.gradients,
            temperature=self.config.rollouts.temperature,
            seed=self.config.run.seed,
            max_tokens=self.config.rollouts.max_tokens,
        )

    def _reference(self) -> "LogProbs":
        from learnalign.gradients.logprobs import LogProbs

        return LogProbs(
            self.model("gradients", reference_model(self.config)),
            temperature=self.config.rollouts.temperature,
            token_budget=self.config.gradients.token_budget,
            kernel=self.config.gradients.attention,
        )

    def _feature_engine(self) -> "FeatureEngine":
        from learnalign.features.engine import FeatureEngine

        return FeatureEngine(
            self.model("gradients"),
            self.tokenizer,
            ratings=self.config.features.ratings,
            token_budget=self.config.gradients.token_budget,
            template_kwargs=self.config.prompt.chat_template_kwargs,
        )
