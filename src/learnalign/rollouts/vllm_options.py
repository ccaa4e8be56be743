"""The arguments of vLLM's engine: those derived from our options, and the user's own."""

import json
from pathlib import Path
from typing import Any

from learnalign.config import ModelConfig, RolloutConfig, VllmConfig
from learnalign.errors import LearnAlignError

#: LoRA ranks that vLLM supports.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def llm_arguments(
    model: ModelConfig, config: RolloutConfig, options: VllmConfig, *, seed: int
) -> dict[str, Any]:
    """Collect the arguments of ``vllm.LLM``; ``options.options`` override all others.

    Raises:
        LearnAlignError: if the adapter is not a LoRA adapter.
    """
    arguments: dict[str, Any] = {
        "model": model.path,
        "revision": model.revision,
        "tokenizer_revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
        "load_format": "safetensors",
        "use_tqdm_on_load": False,
        "dtype": config.dtype,
        "seed": seed % 2**32,
        "tensor_parallel_size": options.tensor_parallel_size,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "enable_prefix_caching": True,  # a group's prompt runs once
        "logprobs_mode": logprobs_mode(config) or "raw_logprobs",
    }
    if options.max_model_len is not None:
        arguments["max_model_len"] = options.max_model_len
    if model.adapter is not None:
        arguments |= {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": _max_lora_rank(model.adapter),
        }
    return arguments | options.options


def logprobs_mode(config: RolloutConfig) -> str | None:
    """Return vLLM's mode for log-probabilities at the sampling temperature, before top-p.

    vLLM's raw ones are computed before the temperature, its processed ones after top-p; None if
    neither fits.

    Example:
        >>> logprobs_mode(RolloutConfig(temperature=1.0, top_p=0.9))
        'raw_logprobs'
        >>> logprobs_mode(RolloutConfig(temperature=0.7))
        'processed_logprobs'
        >>> logprobs_mode(RolloutConfig(temperature=0.7, top_p=0.9))
    """
    if config.temperature in (0.0, 1.0):
        return "raw_logprobs"
    return "processed_logprobs" if config.top_p == 1.0 else None


def _max_lora_rank(adapter: Path) -> int:
    """Return the LoRA rank that vLLM must reserve memory for."""
    try:
        (adapter / "adapter_model.safetensors").stat()
        values = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        ranks = [values["r"], *(values.get("rank_pattern") or {}).values()]
    except (OSError, ValueError, KeyError) as error:
        raise LearnAlignError(
            f"the folder {adapter} is not a LoRA adapter ({error})",
            expected="adapter_config.json with its rank, and adapter_model.safetensors",
            do="pass the folder that peft's save_pretrained wrote",
        ) from error
    return next((rank for rank in _RANKS if rank >= max(ranks)), max(ranks))
