"""What a stage's table depends on: options, the model's weights, the contents of data files."""

import hashlib
from pathlib import Path
from typing import Any

from learnalign.config import Config, ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.storage import files
from learnalign.storage.paths import as_path

_BLOCKS = 16
_BLOCK_BYTES = 65_536
#: The files of a model folder that decide what text and which token ids a prompt becomes.
_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "*vocab*", "merges*")


def stage_options(config: Config, stage: str) -> dict[str, Any]:
    """Collect the options a stage's table depends on, with those of the stages before it.

    What changes the time it takes but not the result (token budgets, worker counts) is left out.
    """
    options = _flat(config, "data") | _flat(config, "prompt")
    options |= {"model.path": config.model.path, "model.revision": config.model.revision}
    options |= {"run.shard_size": config.run.shard_size}
    options["data.contents"] = [_contents(path) for path in config.data.paths]
    options["data.decontaminate.contents"] = [
        _contents(str(path)) for path in config.data.decontaminate
    ]
    options["model.tokenizer"] = _tokenizer_digest(config.model.path)
    template = config.prompt.template
    if template is not None and "{" not in template:  # a file, not the template itself
        options["prompt.template.contents"] = _contents(template)
    options["rollouts.max_tokens"] = config.rollouts.max_tokens
    if stage == "problems":
        return options
    if stage == "features":
        options |= _flat(config, "features") | _flat(config, "model")
        return options | {
            "gradients.dtype": config.gradients.dtype,
            "model.weights": weights_digest(config.model.path),
            "model.adapter.weights": weights_digest(str(config.model.adapter or "")),
        }
    options |= _flat(config, "rollouts", "token_budget", "spend", "error") | _flat(config, "model")
    options |= {"run.seed": config.run.seed, "model.weights": weights_digest(config.model.path)}
    if config.rollouts.engine == "server":
        told = ("model", "api", "logprobs")
        options |= {f"server.{name}": getattr(config.server, name) for name in told}
    if config.rollouts.engine == "vllm":
        memory = ("tensor_parallel_size", "gpu_memory_utilization")
        options |= _flat(config, "vllm", *memory)
    options["rollouts.recorded.contents"] = [
        _contents(str(path)) for path in config.rollouts.recorded
    ]
    if config.rollouts.reuse is None:
        options.pop("rollouts.reuse_steps")
    else:
        options["rollouts.reuse.contents"] = _contents(str(config.rollouts.reuse / "history"))
    if config.model.adapter is not None:
        options["model.adapter.weights"] = weights_digest(str(config.model.adapter))
    if config.rollouts.spend == "auto":
        # Verdicts say who is sampled on; and so does, from the second round on, what is wanted.
        options |= _flat(config, "verifier", "workers") | {"rollouts.spend": "auto"}
        if stage == "round-1":
            return options
        options |= {
            "rollouts.error": config.rollouts.error,
            "selection.budget": config.selection.budget,
            "selection.method": config.selection.method,
            "selection.per_source": config.selection.per_source,
        }
    if stage == "rollouts" or stage.startswith("round-"):
        return options
    options |= _flat(config, "verifier", "workers")
    if stage == "verdicts":
        return options
    if config.gradients.kl_beta:
        reference = reference_model(config)
        options["gradients.reference"] = reference.path
        options["gradients.reference.weights"] = weights_digest(reference.path)
    if stage == "references":
        return options
    moments = config.gradients.preconditioner
    options["gradients.preconditioner.contents"] = _contents(str(moments)) if moments else None
    return options | _flat(config, "gradients", "token_budget", "reference")


def reference_model(config: Config) -> ModelConfig:
    """Say which model the gradients' KL term pulls towards.

    Raises:
        LearnAlignError: if that would be the policy itself.
    """
    if config.gradients.reference is None and config.model.adapter is None:
        raise LearnAlignError(
            f"got --kl-beta {config.gradients.kl_beta} and no reference: the policy does not pull "
            "at itself",
            expected="the model that the policy was trained from",
            do="give --reference MODEL, or leave --kl-beta out",
        )
    changes = {"path": config.gradients.reference or config.model.path, "adapter": None}
    return config.model.model_copy(update=changes)


def training_options(config: Config) -> dict[str, Any]:
    """Collect the options a training's steps depend on, but for its problems."""
    options = _flat(config, "training", "save_every", "subset") | _flat(config, "model")
    options |= _flat(config, "rollouts", "token_budget", "reuse", "reuse_steps", "spend", "error")
    options |= _flat(config, "verifier", "workers")
    options |= {
        "gradients.loss": config.gradients.loss,
        "gradients.scale_rewards": config.gradients.scale_rewards,
        "run.seed": config.run.seed,
        "model.weights": weights_digest(config.model.path),
    }
    if config.model.adapter is not None:
        options["model.adapter.weights"] = weights_digest(str(config.model.adapter))
    return options


def weights_digest(path: str) -> str | None:
    """Identify a model folder's weights by their sizes and 16 sampled blocks of each file.

    A checkpoint that was trained further differs everywhere, so a sample tells it apart in
    milliseconds, however large it is. None for a hub name, which its revision identifies.
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
    found = {file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)}
    parts = [f"{file.name}:{files.sha256(file)}" for file in sorted(found) if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _contents(path: str) -> str | None:
    """Identify a data file by its bytes (a folder by its files); None for names and specs."""
    data = as_path(path)
    if files.is_file(data):
        return files.sha256(data)[:16]
    if data.is_dir():
        found = sorted(data.rglob("*"), key=lambda file: file.parts)
        parts = [f"{file.name}:{files.sha256(file)}" for file in found if file.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return None


def _flat(config: Config, section: str, *leave_out: str) -> dict[str, Any]:
    values = getattr(config, section).model_dump(mode="json", exclude={*leave_out, "device"})
    return {f"{section}.{key}": value for key, value in values.items()}
