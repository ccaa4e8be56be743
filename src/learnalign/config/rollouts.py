"""Options of the rollouts, of the engines that make them, and of the verifier."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, field_validator

from learnalign.config.section import Dtype, Fraction, Section
from learnalign.errors import LearnAlignError


class RolloutConfig(Section):
    """How the problems are sampled."""

    engine: Literal["transformers", "vllm", "server", "recorded"] = "transformers"
    """transformers and vllm sample here; server asks an OpenAI-compatible endpoint; recorded reads
    rollouts that exist already."""
    recorded: tuple[Path, ...] = ()
    """Files of rollouts, or folders of a trainer's dumps: completions, and rewards if there are
    any."""
    recorded_reward: str | None = None
    """Column of the reward in recorded rollouts, where it has a name of its own (dots reach into
    objects)."""
    num_rollouts: PositiveInt = 8
    """G, rollouts a problem; a group needs two."""
    spend: Literal["full", "auto"] = "full"
    """full: all of them for every problem; auto: a few first, and the rest for problems that may
    still be chosen (docs/concepts/adaptive.md)."""
    error: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """With auto: the share of the full budget's choice that may be lost, as expected."""
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
    """How many of its last steps are recent enough (docs/guides/training.md)."""
    token_budget: PositiveInt = 16_384
    """Tokens (prompt and response, padding included) a batch may hold."""
    dtype: Dtype = "auto"
    """auto: bfloat16 where this device is quick at it, else float32."""


class ServerConfig(Section):
    """The OpenAI-compatible endpoint that rollouts.engine=server asks (docs/guides/servers.md)."""

    url: str | None = None
    """Its base address, such as http://localhost:8000/v1."""
    model: str | None = None
    """What the server calls the model; if not given, the only one it serves."""
    api: Literal["completions", "chat"] = "completions"
    """completions sends exactly the prompt; chat sends messages, which the server's own template
    turns into a prompt."""
    concurrency: PositiveInt = 32
    """Requests that are under way at a time, at most; each is one rollout."""
    timeout_s: Annotated[float, Field(gt=0.0)] = 600.0
    """Seconds until a request that is not answered counts as failed."""
    attempts: PositiveInt = 8
    """How often a rollout is asked for, pauses growing in between, while the server is overloaded
    or fails."""
    logprobs: bool = True
    """Ask for log-probabilities. A server that gives no token ids may tell them by these, at a
    price in speed."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, if the server wants one; the key itself is never
    written down."""

    @field_validator("url")
    @classmethod
    def _is_no_secret(cls, url: str | None) -> str | None:
        if url is not None and "@" in urlsplit(url).netloc:
            raise LearnAlignError(
                "got a server's address with a name or a password in it",
                expected="an address such as http://localhost:8000/v1, which may be written down",
                do="put the key into the environment variable that server.api_key_variable names",
            )
        return url


class VllmConfig(Section):
    """How rollouts.engine=vllm runs (docs/concepts/rollouts.md)."""

    tensor_parallel_size: PositiveInt = 1
    """GPUs that share the model's weights."""
    gpu_memory_utilization: Fraction = 0.9
    """Share of each GPU's memory that vLLM takes, for weights and for keys and values."""
    max_model_len: PositiveInt | None = None
    """Longest prompt and response together, in tokens; if not given, the model's context. A smaller
    one needs less memory."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Any other argument of vllm.LLM, over those above: --set vllm.options.enforce_eager=true."""


class VerifierConfig(Section):
    """How an answer is found right or wrong."""

    kind: str = "auto"
    """auto (recorded rewards, else decided problem by problem from gold and prompt), math, number,
    choice, words, time, code, text, reasoning_gym, or module:function (TRL's signature)."""
    unfinished_thinking: bool = False
    """Look for an answer in thinking that was never closed, too."""
    timeout_s: Annotated[float, Field(gt=0.0)] = 5.0
    """Seconds a single answer may take before its worker is killed."""
    workers: PositiveInt | None = None
    """Worker processes; default: the processors of this machine."""
    memory_mb: PositiveInt | None = 4096
    """MiB that a worker may allocate; null for no limit (docs/concepts/verifying.md)."""
