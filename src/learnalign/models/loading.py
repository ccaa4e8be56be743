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
    """Load the model's tokenizer with left padding; without a pad token, EOS is used.

    Raises:
        LearnAlignError: if the path is neither a model folder nor a reachable hub name.
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
    """Load the policy onto its device in evaluation mode, with its adapter if it has one.

    Args:
        config: The model and its device.
        dtype: dtype of its weights.

    Raises:
        LearnAlignError: like `load_tokenizer`, and if the weights are not in safetensors.
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
    """Load a policy for training: all weights, or a LoRA adapter in float32 on frozen weights.

    Args:
        config: The model. An existing adapter is merged into the weights (full), or trained further
            (lora).
        parameters: Which parameters to train.
        lora_rank: Rank of a new adapter; its alpha is twice that.
        seed: Seed of a new adapter.
        dtype: dtype of the frozen weights; trained weights are float32.

    Raises:
        LearnAlignError: like `load_model`, and if the package peft is needed but not installed.
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
    """Return the model's context length in tokens; None if its configuration does not define it."""
    values = _configuration(config)
    names = ("max_position_embeddings", "n_positions")
    lengths = [int(getattr(values, name, None) or 0) for name in names]
    return max(lengths) or None


def vocabulary_size(config: ModelConfig) -> int | None:
    """Return the number of tokens in the model's embeddings; None if unknown.

    It is also unknown with an adapter, which may have extended them.
    """
    if config.adapter is not None:
        return None
    return getattr(_configuration(config), "vocab_size", None)


def end_ids(config: ModelConfig) -> list[int]:
    """Return the end tokens from the model's generation config."""
    try:
        values = GenerationConfig.from_pretrained(config.path, revision=config.revision or "main")
    except (OSError, ValueError):
        return []  # it has no generation config
    eos = values.eos_token_id
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


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
    """Resolve ``auto`` to the best available device.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise LearnAlignError(
                f"got the device '{name}'",
                expected="auto, cpu, cuda, cuda:1 or mps",
                do="use one of these",
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Resolve ``auto`` to a dtype: bfloat16 if the device supports it in hardware, else float32.

    The error of bfloat16 in a gradient's row is far smaller than the sampling error of eight
    rollouts (docs/concepts/gradients.md).

    Example:
        >>> resolve_dtype("float32", torch.device("cpu"))
        torch.float32
    """
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    supported = {"cuda": torch.cuda.is_bf16_supported, "cpu": _has_bfloat16}.get(device.type)
    return torch.bfloat16 if supported is not None and supported() else torch.float32


def _has_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _configuration(config: ModelConfig) -> Any:
    """Read the configuration of the model's text part."""
    _check_folder(config.path)
    try:
        return AutoConfig.from_pretrained(config.path, **_options(config)).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(config.path, "configuration", error) from error


def _options(config: ModelConfig) -> dict[str, Any]:
    return {"revision": config.revision, "trust_remote_code": config.trust_remote_code}


def _check_folder(path: str) -> None:
    """Raise an error for a local path that is not a model folder."""
    folder = Path(path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        names = sorted(p.name for p in folder.iterdir())[:8]
        raise LearnAlignError(
            f"the folder {path} is not a model: it contains {', '.join(names) or 'nothing'}",
            expected="config.json, the tokenizer's files and *.safetensors",
            do="pass the folder that save_pretrained wrote",
        )
    looks_local = path.startswith((".", "/", "~")) or path.count("/") > 1
    if not path or folder.is_file() or (looks_local and not folder.exists()):
        raise LearnAlignError(
            f"got the model '{path}'",
            expected="a model folder, or a hub name such as Qwen/Qwen2.5-1.5B-Instruct",
            do="check the path",
        )


def _unloadable(path: str, part: str, error: Exception) -> LearnAlignError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return LearnAlignError(
        f"cannot load the {part} of '{path}': {lines[0]}",
        expected="a folder written by save_pretrained (safetensors), or a reachable hub name",
        do="check the path and the network; a model's own code runs only with "
        "--set model.trust_remote_code=true",
    )


def _peft() -> Any:
    """Import peft, or raise an error with the extra that installs it."""
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
            f"the folder {adapter} is not an adapter",
            expected="adapter_config.json and adapter_model.safetensors",
            do="pass the folder that peft's save_pretrained wrote",
        )
    return peft.PeftModel.from_pretrained(model, str(adapter))
