"""The options each table depends on, with digests of weights, tokenizers and data files."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learnalign.config import Config, ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.ignored import ignored_part
from learnalign.problems.patterns import files_within, is_pattern, matching
from learnalign.storage import files
from learnalign.storage.paths import as_path

_BLOCKS = 16
_BLOCK_BYTES = 65_536
#: The files of a model folder that determine a prompt's text and token ids.
_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "*vocab*", "merges*")


def pool_options(config: Config) -> dict[str, Any]:
    """Collect what the pool and its prompts depend on."""
    options = _section(config, "data") | _section(config, "prompt")
    options |= {"model.path": config.model.path, "model.revision": config.model.revision}
    options |= {"run.shard_size": config.run.shard_size}
    if config.data.sample is None:
        options.pop("data.sample")
    else:
        options["run.seed"] = config.run.seed
    options["data.contents"] = [_contents(path) for path in config.data.paths]
    options["data.decontaminate.contents"] = [
        _contents(str(path)) for path in config.data.decontaminate
    ]
    options["model.tokenizer"] = _tokenizer_digest(config.model.path)
    template = config.prompt.template
    if template is not None and "{" not in template:  # a file, not the template itself
        options["prompt.template.contents"] = _contents(template)
    return options | {"rollouts.max_tokens": config.rollouts.max_tokens}


def sampling_options(config: Config) -> dict[str, Any]:
    """Collect what the rollouts depend on."""
    options = _section(config, "rollouts", "token_budget", "cuda_graphs", "spend", "error")
    options |= _section(config, "model") | {
        "run.seed": config.run.seed,
        "model.weights": weights_digest(config.model.path),
    }
    if config.rollouts.engine == "server":
        names = ("model", "api", "logprobs")
        options |= {f"server.{name}": getattr(config.server, name) for name in names}
    if config.rollouts.engine == "vllm":
        memory = ("tensor_parallel_size", "gpu_memory_utilization")
        options |= _section(config, "vllm", *memory)
    options["rollouts.recorded.contents"] = [
        _contents(str(path), files_within) for path in config.rollouts.recorded
    ]
    if config.rollouts.reuse is None:
        options.pop("rollouts.reuse_steps")
    else:
        reused = (config.rollouts.reuse / table for table in ("history", "rollouts"))
        options["rollouts.reuse.contents"] = next(filter(None, map(_contents, reused)), None)
    if config.model.adapter is not None:
        options["model.adapter.weights"] = weights_digest(str(config.model.adapter))
    return options


def round_options(config: Config) -> dict[str, Any]:
    """Collect what the first round depends on: it samples, and verifies."""
    return sampling_options(config) | verifier_options(config) | {"rollouts.spend": "auto"}


def later_round_options(config: Config) -> dict[str, Any]:
    """Collect what a later round depends on: also what decides which problems it samples."""
    return round_options(config) | {
        "rollouts.error": config.rollouts.error,
        "selection.budget": config.selection.budget,
        "selection.method": config.selection.method,
        "selection.per_source": config.selection.per_source,
    }


def verifier_options(config: Config) -> dict[str, Any]:
    """Collect what the verdicts depend on."""
    return _section(config, "verifier", "workers")


def reference_options(config: Config) -> dict[str, Any]:
    """Collect what the log-probabilities under the KL term's reference depend on."""
    reference = reference_model(config)
    return {
        "gradients.reference": reference.path,
        "gradients.reference.weights": weights_digest(reference.path),
    }


def gradient_options(config: Config) -> dict[str, Any]:
    """Collect what the gradients depend on."""
    moments = config.gradients.preconditioner
    return _section(config, "gradients", "token_budget", "attention", "reference") | {
        "gradients.preconditioner.contents": _contents(str(moments)) if moments else None
    }


def feature_options(config: Config) -> dict[str, Any]:
    """Collect what the features depend on."""
    return (
        _section(config, "features")
        | _section(config, "model")
        | {
            "gradients.dtype": config.gradients.dtype,
            "model.weights": weights_digest(config.model.path),
            "model.adapter.weights": weights_digest(str(config.model.adapter or "")),
        }
    )


def reference_model(config: Config) -> ModelConfig:
    """Return the model that the KL term of the gradients compares the policy with.

    Raises:
        LearnAlignError: if that is the policy itself.
    """
    if config.gradients.reference is None and config.model.adapter is None:
        raise LearnAlignError(
            f"got --kl-beta {config.gradients.kl_beta} without a reference: the KL term of a "
            "policy to itself is zero",
            expected="the model that the policy was trained from",
            do="add --reference MODEL, or leave out --kl-beta",
        )
    changes = {"path": config.gradients.reference or config.model.path, "adapter": None}
    return config.model.model_copy(update=changes)


def training_options(config: Config) -> dict[str, Any]:
    """Collect the options that the steps of a training depend on, except for its problems."""
    options = _section(config, "training", "save_every", "subset") | _section(config, "model")
    options |= _section(
        config,
        "rollouts",
        "token_budget",
        "cuda_graphs",
        "reuse",
        "reuse_steps",
        "spend",
        "error",
    )
    options |= _section(config, "verifier", "workers")
    options |= {
        "gradients.loss": config.gradients.loss,
        "gradients.scale_rewards": config.gradients.scale_rewards,
        "run.seed": config.run.seed,
        "model.weights": weights_digest(config.model.path),
    }
    if config.model.adapter is not None:
        options["model.adapter.weights"] = weights_digest(str(config.model.adapter))
    if config.training.history is not None:
        options["training.history.contents"] = _contents(str(config.training.history))
    return options


def weights_digest(path: str) -> str | None:
    """Identify a model folder's weights by their sizes and 16 sampled blocks of each file.

    Further training changes weights everywhere, so a sample distinguishes two checkpoints of any
    size in milliseconds. None for a hub name, which its revision identifies.
    """
    folder = Path(path)
    if not path or not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        step = max(1, size // _BLOCKS)
        with file.open("rb") as stream:
            for start in range(0, size, max(step, _BLOCK_BYTES)):
                stream.seek(start)
                digest.update(stream.read(_BLOCK_BYTES))
    return digest.hexdigest()[:16]


def _tokenizer_digest(path: str) -> str | None:
    """Identify a model folder's tokenizer and chat template; None for a hub name."""
    folder = Path(path)
    if not path or not folder.is_dir():
        return None
    matches = {file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)}
    parts = [f"{file.name}:{files.sha256(file)}" for file in sorted(matches) if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _data_files(pattern: str) -> list[Path]:
    return matching(pattern)[0]


def _contents(path: str | Path, files_of: Callable[[str], list[Path]] = _data_files) -> str | None:
    """Identify a file by its bytes, several by each; None for names and generators."""
    data = as_path(path)
    if files.is_file(data):
        return files.sha256(data)[:16]
    if is_pattern(str(path)):
        inside = files_of(str(path))
    elif data.is_dir():
        found = (file for file in data.rglob("*") if ignored_part(file, data) is None)
        inside = sorted(found, key=lambda file: file.parts)
    else:
        return None
    parts = [f"{file.name}:{files.sha256(file)}" for file in inside if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _section(config: Config, section: str, *left_out: str) -> dict[str, Any]:
    values = getattr(config, section).model_dump(mode="json", exclude={*left_out, "device"})
    return {f"{section}.{key}": value for key, value in values.items()}
