"""Loading a policy and its tokenizer: safetensors only, no code from the model's folder."""

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from learnalign.config import ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.terminal.library_bars import no_bars


def load_tokenizer(config: ModelConfig) -> Any:
    """Load the model's tokenizer, padding on the left; the end token pads if nothing else does.

    Raises:
        LearnAlignError: if the path is no model folder and no reachable hub name.
    """
    _check_folder(config.path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.path, **_options(config))
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(config.path, "tokenizer", error) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config: ModelConfig, *, dtype: torch.dtype) -> Any:
    """Load the policy in evaluation mode onto its device, with its adapter if one is given.

    Args:
        config: Which model, and where it runs.
        dtype: Of its weights.

    Raises:
        LearnAlignError: as `load_tokenizer`, and if the weights are not in safetensors.
    """
    _check_folder(config.path)
    try:
        with no_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(
                config.path, dtype=dtype, use_safetensors=True, **_options(config)
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unloadable(config.path, "model", error) from error
    if config.adapter is not None:
        model = _with_adapter(model, config.adapter)
    return model.to(resolve_device(config.device)).eval()


def load_trainable(
    config: ModelConfig,
    *,
    parameters: Literal["full", "lora"],
    lora_rank: int,
    seed: int,
    dtype: torch.dtype,
) -> Any:
    """Load the policy to be trained: all weights, or a LoRA adapter in float32 on frozen ones.

    Args:
        config: Which model. An adapter it has is merged into the weights (full), or goes on being
            trained (lora).
        parameters: What is trained.
        lora_rank: Rank of a new adapter; its alpha is twice that.
        seed: Of a new adapter.
        dtype: Of the frozen weights; those that are trained come in float32.

    Raises:
        LearnAlignError: as `load_model`, and without the package peft where it is needed.
    """
    model = load_model(config, dtype=torch.float32 if parameters == "full" else dtype)
    if parameters == "full":
        model = model if config.adapter is None else model.merge_and_unload()
        return model.requires_grad_(True)
    if config.adapter is None:
        peft = _peft()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            adapter = peft.LoraConfig(
                r=lora_rank,
                lora_alpha=2 * lora_rank,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            )
            return peft.get_peft_model(model, adapter)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def context_length(config: ModelConfig) -> int | None:
    """Read how many tokens the model can see; None if it does not say."""
    values = _configuration(config)
    names = ("max_position_embeddings", "n_positions")
    lengths = [int(getattr(values, name, None) or 0) for name in names]
    return max(lengths) or None


def vocabulary_size(config: ModelConfig) -> int | None:
    """Read how many tokens the model's embeddings hold; None if it does not say.

    An adapter may have grown them, and then nobody says.
    """
    if config.adapter is not None:
        return None
    return getattr(_configuration(config), "vocab_size", None)


def end_ids(config: ModelConfig) -> list[int]:
    """Read the end tokens that the model's generation config names."""
    try:
        values = GenerationConfig.from_pretrained(config.path, revision=config.revision or "main")
    except (OSError, ValueError):
        return []  # it has none
    named = values.eos_token_id
    return [] if named is None else [named] if isinstance(named, int) else list(named)


def num_parameters(config: ModelConfig) -> int:
    """Count a model's parameters without loading its weights."""
    _check_folder(config.path)
    try:
        values = AutoConfig.from_pretrained(config.path, **_options(config))
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                values, trust_remote_code=config.trust_remote_code
            )
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(config.path, "configuration", error) from error
    return int(sum(parameter.numel() for parameter in model.parameters()))


def resolve_device(name: str) -> torch.device:
    """Turn ``auto`` into the best device there is.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise LearnAlignError(
                f"got the device '{name}'", expected="auto, cpu, cuda, cuda:1 or mps", do="name one"
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Turn ``auto`` into a dtype: bfloat16 where the device is quick at it, else float32.

    What bfloat16 costs a gradient's row in fidelity is far below what eight rollouts leave open
    (docs/concepts/gradients.md).

    Example:
        >>> resolve_dtype("float32", torch.device("cpu"))
        torch.float32
    """
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    quick = {"cuda": torch.cuda.is_bf16_supported, "cpu": _quick_bfloat16}.get(device.type)
    return torch.bfloat16 if quick is not None and quick() else torch.float32


def _quick_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _configuration(config: ModelConfig) -> Any:
    """Read the configuration of a model's text part."""
    _check_folder(config.path)
    try:
        return AutoConfig.from_pretrained(config.path, **_options(config)).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(config.path, "configuration", error) from error


def _options(config: ModelConfig) -> dict[str, Any]:
    return {"revision": config.revision, "trust_remote_code": config.trust_remote_code}


def _check_folder(path: str) -> None:
    """Tell a folder that is no model from a hub name."""
    place = Path(path)
    if place.is_dir() and not (place / "config.json").is_file():
        seen = sorted(p.name for p in place.iterdir())[:8]
        raise LearnAlignError(
            f"the folder {path} is no model: it holds {', '.join(seen) or 'nothing'}",
            expected="config.json, the tokenizer's files and *.safetensors",
            do="give the folder that save_pretrained wrote",
        )
    looks_local = path.startswith((".", "/", "~")) or path.count("/") > 1
    if not path or place.is_file() or (looks_local and not place.exists()):
        raise LearnAlignError(
            f"got the model '{path}'",
            expected="a model folder, or a hub name such as Qwen/Qwen2.5-1.5B-Instruct",
            do="check the path",
        )


def _unloadable(path: str, what: str, error: Exception) -> LearnAlignError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return LearnAlignError(
        f"cannot load the {what} of '{path}': {lines[0]}",
        expected="a folder written by save_pretrained (safetensors), or a hub name in reach",
        do="check the path and the network; code that comes with a model runs only with "
        "--set model.trust_remote_code=true",
    )


def _peft() -> Any:
    """Import peft, or name the extra that installs it."""
    try:
        import peft
    except ImportError as error:
        raise LearnAlignError(
            "an adapter needs the package peft", do="pip install 'learnalign[lora]'"
        ) from error
    return peft


def _with_adapter(model: Any, adapter: Path) -> Any:
    peft = _peft()
    if not (adapter / "adapter_model.safetensors").is_file():
        raise LearnAlignError(
            f"the folder {adapter} is no adapter",
            expected="adapter_config.json and adapter_model.safetensors",
            do="give the folder that peft's save_pretrained wrote",
        )
    return peft.PeftModel.from_pretrained(model, str(adapter))
