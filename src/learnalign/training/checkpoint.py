"""Training checkpoints in safetensors: master weights and AdamW's moments."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from learnalign.errors import LearnAlignError
from learnalign.storage.folders import atomic_folder
from learnalign.training.learner import Learner

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(path: Path, learner: Learner) -> None:
    """Write a checkpoint folder atomically, synced to disk."""
    with atomic_folder(path) as temporary:
        named = learner.masters.named
        save_file(
            {name: p.detach() for name, p in named.items()}, temporary / "weights.safetensors"
        )
        moments = {
            f"{key}.{name}": learner.optimizer.state[p][key]
            for name, p in named.items()
            for key in _MOMENTS
        }
        save_file(moments, temporary / "moments.safetensors")


def load_checkpoint(path: Path, step: int, learner: Learner) -> None:
    """Restore a learner's state after ``step`` steps from a checkpoint folder.

    Raises:
        LearnAlignError: if the checkpoint is missing, damaged or from another model.
    """
    named = learner.masters.named
    try:
        weights = load_file(path / "weights.safetensors")
        moments = load_file(path / "moments.safetensors")
    except (FileNotFoundError, SafetensorError) as error:
        raise _unusable(path, str(error)) from error
    if set(weights) != set(named):
        raise _unusable(path, "it has the weights of another model")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(weights[name])
            learner.optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                **{key: moments[f"{key}.{name}"].to(parameter.device) for key in _MOMENTS},
            }
    learner.masters.write_back()
    learner.done = step


def _unusable(path: Path, why: str) -> LearnAlignError:
    return LearnAlignError(
        f"cannot resume from {path}: {why}",
        expected="the checkpoint that the training wrote",
        do="train from the start with --redo history, or choose another folder with --out",
    )
