"""A training's state on disk, in safetensors: master weights and AdamW's moments."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from learnalign import files
from learnalign.errors import LearnAlignError
from learnalign.training.learner import Learner

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(folder: Path, learner: Learner) -> Path:
    """Write ``step-N`` into the folder, whole or not at all."""
    path = folder / f"step-{learner.done}"
    temporary = folder / f".step-{learner.done}.tmp"
    with files.explained(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
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
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    return path


def load_checkpoint(folder: Path, step: int, learner: Learner) -> None:
    """Bring a learner to the state it had after ``step`` steps.

    Raises:
        LearnAlignError: if the checkpoint is gone, or is one of another model.
    """
    path = folder / f"step-{step}"
    named = learner.masters.named
    try:
        weights = load_file(path / "weights.safetensors")
        moments = load_file(path / "moments.safetensors")
    except OSError as error:
        raise _broken(path, str(error)) from error
    if set(weights) != set(named):
        raise _broken(path, "it holds the weights of another model")
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(weights[name])
            learner.optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                **{key: moments[f"{key}.{name}"].to(parameter.device) for key in _MOMENTS},
            }
    learner.masters.write_back()
    learner.done = step


def forget_checkpoints(folder: Path, *, keep: int) -> None:
    """Remove the checkpoints of other steps than ``keep``."""
    for path in folder.glob("*step-*"):
        if path.name != f"step-{keep}":
            shutil.rmtree(path)


def _broken(path: Path, why: str) -> LearnAlignError:
    return LearnAlignError(
        f"cannot go on from {path}: {why}",
        expected="the checkpoint that the training wrote",
        do="train anew: --redo history, or another folder with --out",
    )
