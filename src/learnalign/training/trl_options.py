"""The options of TRL's GRPOConfig: derived from ours, or added by the user."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from learnalign.config import Config
from learnalign.errors import LearnAlignError, nearest
from learnalign.formats.recipes import grpo_settings

#: TRL's options that have an equivalent here; they can only be set through it.
_OURS = {
    "output_dir": "run.out",
    "num_generations": "rollouts.num_rollouts",
    "max_completion_length": "rollouts.max_tokens",
    "temperature": "rollouts.temperature",
    "top_p": "rollouts.top_p",
    "loss_type": "gradients.loss",
    "scale_rewards": "gradients.scale_rewards",
    "beta": "training.kl_beta",
    "epsilon": "training.clip",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.schedule",
    "warmup_steps": "training.warmup_steps",
    "max_grad_norm": "training.max_grad_norm",
    "max_steps": "training.steps",
    "num_train_epochs": "training.epochs",
    "shuffle_dataset": "training.shuffled",
    "save_steps": "training.save_every",
    "seed": "run.seed",
}

#: TRL's options that resuming and the tables depend on.
_KEPT = frozenset(
    {
        "load_best_model_at_end",
        "logging_steps",
        "logging_strategy",
        "save_only_model",
        "save_strategy",
        "save_total_limit",
    }
)


def grpo_options(config: Config, per_step: int, folder: Path) -> dict[str, Any]:
    """Return the arguments of TRL's GRPOConfig.

    Raises:
        LearnAlignError: see `learnalign.training.trl.train`.
    """
    trl, _ = trl_packages()
    training = config.training
    known = {field.name for field in fields(trl.GRPOConfig)}
    for name in training.trl:
        if name in _OURS:
            raise LearnAlignError(
                f"got training.trl.{name}",
                expected=f"{_OURS[name]}, which sets TRL's {name}",
                do=f"use --set {_OURS[name]}=...",
            )
        if name in _KEPT:
            raise LearnAlignError(
                f"got training.trl.{name}",
                expected="TRL's saving and logging as LearnAlign sets them: resuming needs it",
                do="remove it; training.save_every sets the steps between checkpoints",
            )
        if name not in known:
            raise LearnAlignError(
                f"got training.trl.{name}, which the installed TRL's GRPOConfig does not have",
                expected=f"one of its options: {nearest(name, known)}",
                do="correct the name",
            )
    if config.rollouts.stop and training.sampling == "trl":
        raise LearnAlignError(
            "got stop strings with training.sampling=trl, which does not support them",
            expected="stop strings with training.sampling=learnalign",
            do="use --set training.sampling=learnalign, or remove --stop",
        )
    from learnalign.models.loading import resolve_device, resolve_dtype

    device = resolve_device(config.model.device)
    return {
        "output_dir": str(folder),
        **grpo_settings(config, per_step),
        "num_train_epochs": 1,
        "shuffle_dataset": False,
        "save_strategy": "steps",
        "save_steps": training.save_every,
        "save_total_limit": None,  # the run folder deletes old checkpoints itself
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": device.type == "cpu",
        "bf16": resolve_dtype(training.dtype, device) == torch.bfloat16,
        "gradient_checkpointing": False,
        **training.trl,
    }


def trl_packages() -> tuple[Any, Any]:
    """Import and return TRL and datasets."""
    try:
        import datasets
        import trl
    except ImportError as error:
        raise LearnAlignError(
            f"training.trainer=trl needs the package {error.name}",
            do="pip install 'learnalign[train]', or use --trainer native",
        ) from error
    return trl, datasets
