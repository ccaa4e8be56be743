"""Runs on generated sums, small enough for a test: their options, and a finished selection."""

from pathlib import Path
from typing import Any

from learnalign import Selection, load_config
from learnalign.config import Config
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import run

QUIET = Progress("none")
PREFIX = "{{ row.metadata.expression }} ="
#: What every run on sums shares, whichever verb it is for.
OPTIONS: dict[str, Any] = {
    "model.device": "cpu",
    "data.paths": ("reasoning-gym:chain_sum?size=14&seed=1&max_terms=2&max_digits=1",),
    "prompt.assistant_prefix": PREFIX,
    "rollouts.num_rollouts": 4,
    "rollouts.max_tokens": 5,
    "rollouts.stop": ("\n",),
    "rollouts.token_budget": 2000,
    "verifier.kind": "number",
    "verifier.workers": 1,
    "gradients.sketch_size": 256,
    "gradients.num_resampled": 4,
    "selection.method": "learnalign",
    "selection.budget": 5,
    "selection.num_bootstrap": 50,
    "run.shard_size": 4,
}
#: Seven problems, three a step: no multiple, and a pass ends within a step.
TRAINING: dict[str, Any] = {
    "data.paths": ("reasoning-gym:chain_sum?size=7&seed=1&max_terms=2&max_digits=1",),
    "gradients.num_resampled": 0,
    "selection.budget": 3,
    "selection.num_bootstrap": 0,
    "run.shard_size": 64,
    "training.problems_per_step": 3,
    "training.epochs": 2.0,
    "training.learning_rate": 1e-5,
    "training.kl_beta": 0.0,
    "training.save_every": 2,
}


def configure(model: Path, out: Path, **more: Any) -> Config:
    """Give the options of a run; more by their dotted names, two underscores for a dot."""
    given = {key.replace("__", "."): value for key, value in more.items()}
    return load_config(
        overrides={**OPTIONS, "model.path": str(model), "run.out": str(out), **given}
    )


def configure_training(model: Path, out: Path, **more: Any) -> Config:
    """Give the options of a short training, and of the selections around it."""
    return configure(model, out, **(_underscored(TRAINING) | more))


def select(model: Path, out: Path, **more: Any) -> Selection:
    """Select, or go on with a selection."""
    return run(configure(model, out, **more), progress=QUIET)


def _underscored(options: dict[str, Any]) -> dict[str, Any]:
    return {key.replace(".", "__"): value for key, value in options.items()}
