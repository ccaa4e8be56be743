"""Options for the rollouts, the engines that sample them, and the verifier."""

from math import inf
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, field_validator, model_validator

from learnalign.config.section import Dtype, Fraction, Section
from learnalign.errors import LearnAlignError
from learnalign.storage.paths import StoragePath


class RolloutConfig(Section):
    """How rollouts are sampled."""

    engine: Literal["transformers", "vllm", "server", "recorded"] = "transformers"
    """transformers and vllm sample locally; server uses an OpenAI-compatible endpoint; recorded
    reads existing rollouts."""
    recorded: tuple[StoragePath, ...] = ()
    """Files of rollouts, or folders of a trainer's dumps, here or in an object store: completions,
    and optionally rewards."""
    recorded_format: str | None = None
    """Format of the recorded rollouts (docs/concepts/rollouts.md); by default, recognised row by
    row."""
    recorded_reward: str | Literal[False] | None = None
    """Reward column of recorded rollouts, if it is not found by name (use dots for nested
    columns); false: their rewards are not read, and a verifier judges them."""
    recorded_scale: tuple[float, float] | None = None
    """The lowest and the highest recorded reward, which become 0 and 1, as in
    rollouts.recorded_scale=[-1,1]; by default, rewards outside 0 to 1 are errors."""
    num_rollouts: PositiveInt = 8
    """G, rollouts per problem; selecting needs at least 2."""
    spend: Literal["full", "auto"] = "full"
    """full: all rollouts for every problem; auto: a few first, the rest only for problems that may
    still be chosen (docs/concepts/adaptive.md)."""
    error: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """With auto: the expected share of the full budget's selection that may differ."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Sampling temperature, also used for the policy gradient. 0 is greedy, for evaluation
    only."""
    top_p: Fraction = 1.0
    """Nucleus sampling: keep the most likely tokens up to this total probability."""
    max_tokens: PositiveInt = 1024
    """Maximum response length, in tokens."""
    stop: tuple[str, ...] = ()
    """Stop strings, which end a response and are removed from it."""
    reuse: StoragePath | None = None
    """Folder whose rollouts replace new ones: of a profile, rollout or select with the same policy
    and sampling; or of the training that produced the policy, whose last steps count."""
    reuse_steps: PositiveInt = 4
    """Number of a training's last steps to reuse rollouts from (docs/guides/training.md)."""
    token_budget: PositiveInt = 16_384
    """Maximum tokens per batch (prompt and response, including padding)."""
    dtype: Dtype = "auto"
    """auto: bfloat16 if it is fast on this device, else float32."""
    cuda_graphs: bool = True
    """On an NVIDIA GPU, replay each decoding step as a CUDA graph if the model allows it; false
    saves the memory that the graphs and their cache keep."""

    @field_validator("recorded_scale")
    @classmethod
    def _is_a_scale(cls, scale: tuple[float, float] | None) -> tuple[float, float] | None:
        if scale is not None and not -inf < scale[0] < scale[1] < inf:
            raise LearnAlignError(
                f"got the scale of rewards {list(scale)}",
                expected="the lowest reward, then the highest, such as [-1,1]",
                do="correct rollouts.recorded_scale",
            )
        return scale


class ServerConfig(Section):
    """The OpenAI-compatible endpoint of rollouts.engine=server (docs/guides/servers.md)."""

    url: str | None = None
    """Base URL, such as http://localhost:8000/v1."""
    model: str | None = None
    """Model name on the server; by default, the only model it serves."""
    api: Literal["completions", "chat"] = "completions"
    """completions sends the exact prompt; chat sends messages, to which the server applies its own
    template."""
    concurrency: PositiveInt = 32
    """Maximum concurrent requests; each is one rollout."""
    timeout_s: Annotated[float, Field(gt=0.0)] = 600.0
    """Seconds before an unanswered request counts as failed."""
    attempts: PositiveInt = 8
    """Attempts per rollout, with exponential backoff, while the server is overloaded or fails."""
    logprobs: bool = True
    """Request log-probabilities. Servers that return no token ids may reveal them this way, at some
    cost in speed."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the API key, if the server needs one; the key itself is never
    written to disk."""

    @field_validator("url")
    @classmethod
    def _is_no_secret(cls, url: str | None) -> str | None:
        if url is not None and "@" in urlsplit(url).netloc:
            raise LearnAlignError(
                "got a server URL that contains a user name or password",
                expected="a URL such as http://localhost:8000/v1, without credentials",
                do="put the key into the environment variable that server.api_key_variable names",
            )
        return url


class VllmConfig(Section):
    """How rollouts.engine=vllm runs (docs/concepts/rollouts.md)."""

    tensor_parallel_size: PositiveInt = 1
    """Number of GPUs to split the model over."""
    gpu_memory_utilization: Fraction = 0.9
    """Share of each GPU's memory that vLLM uses for weights and the KV cache."""
    max_model_len: PositiveInt | None = None
    """Maximum length of prompt and response together, in tokens; by default, the model's context
    length. Smaller values need less memory."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Other arguments of vllm.LLM, which override those above: --set
    vllm.options.enforce_eager=true."""


class VerifierConfig(Section):
    """How answers are judged."""

    kind: str = "auto"
    """auto (recorded rewards, else chosen per problem from gold answer and prompt), math, number,
    choice, words, time, code (Python literals), text, program (code problems with tests, run in a
    sandbox), reasoning_gym, or module:function (TRL's signature)."""
    unfinished_thinking: bool = False
    """Also look for an answer in thinking that was never closed."""
    timeout_s: Annotated[float, Field(gt=0.0)] = 5.0
    """Seconds to judge one answer before its worker is killed."""
    workers: PositiveInt | None = None
    """Worker processes; by default, the number of CPUs."""
    memory_mb: PositiveInt | None = 4096
    """Memory limit per worker, in MiB; null for no limit (docs/concepts/verifying.md)."""
    sandbox: Literal["bubblewrap", "sandbox-fusion", "piston", "open-instruct", "none"] = (
        "bubblewrap"
    )
    """Where the verifier program runs programs: in bubblewrap's namespaces on this machine, on a
    server (SandboxFusion, Piston, or open-instruct's code API, which also runs the tests), or, with
    none, as plain processes that nothing protects this machine from."""
    sandbox_url: str | None = None
    """Base URL of the server, such as http://localhost:8080."""
    credit: Literal["all", "fraction"] = "all"
    """all: a program is rewarded if it passes all tests, and ends at the first one that it fails;
    fraction: its reward is the share of tests that it passes."""
    max_tests: PositiveInt | None = None
    """Use only the first N tests of each code problem; by default, all."""
    test_timeout_s: Annotated[float, Field(gt=0.0)] = 5.0
    """Seconds for each test. A program that was waiting, not computing, runs again alone before its
    time-out counts."""
    program_timeout_s: Annotated[float, Field(gt=0.0)] = 60.0
    """Seconds for all tests of a program."""
    program_memory_mb: PositiveInt = 1024
    """Memory limit of a program, in MiB."""

    @model_validator(mode="after")
    def _server_has_url(self) -> Self:
        remote = self.sandbox not in ("bubblewrap", "none")
        if remote and self.sandbox_url is None:
            raise LearnAlignError(
                f"got the sandbox '{self.sandbox}' without a server",
                expected="its base URL, such as http://localhost:8080",
                do="add --set verifier.sandbox_url=URL",
            )
        return self
