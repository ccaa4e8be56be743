"""The warm-up: a short GRPO run on random problems; the selection uses the policy it trained."""

from typing import Any

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.terminal.progress import Progress
from learnalign.workflows.train import Training, train
from learnalign.workflows.training_problems import DEFAULT_SUBSET, selection_folder


def warm_up(
    config: Config, num_problems: int, *, progress: Progress, redo: str | None = None
) -> Training:
    """Train on a random subset of the pool (arXiv 2506.11480, step 1).

    Args:
        config: Uses the training section; ``data.paths`` is the whole pool.
        num_problems: Number of random problems.
        progress: Shows the steps.
        redo: Table to discard first; see `train`.
    """
    return train(warmup_config(config, num_problems), progress=progress, redo=redo)


def warmup_config(config: Config, num_problems: int) -> Config:
    """Return the configuration that a warm-up trains with.

    The subset is reset for data, which has none: a shared options file may set the final
    training's.
    """
    training: dict[str, Any] = {"num_problems": num_problems}
    if selection_folder(config.data.paths) is None:
        training["subset"] = DEFAULT_SUBSET
    changed = config.training.model_copy(update=training)
    return config.model_copy(update={"training": changed})


def redo_of_warmup(redo: str | None, config: Config) -> str | None:
    """Return the table of the warm-up that --redo discards; None if it names another table.

    Raises:
        LearnAlignError: if it names the warm-up of a selection without one.

    Example:
        >>> config = Config.model_validate({"selection": {"warmup": 9}})
        >>> [redo_of_warmup(redo, config) for redo in ("warmup", "warmup/checkpoint", "rollouts")]
        ['problems', 'checkpoint', None]
    """
    first, _, rest = (redo or "").partition("/")
    if first != "warmup":
        return None
    if config.selection.warmup is None:
        raise LearnAlignError(
            f"got --redo {redo} for a selection without a warm-up",
            expected="--redo warmup together with --warmup N",
            do="use the options of the original command",
        )
    return rest or "problems"


def run_warmup(
    config: Config, *, progress: Progress, redo: str | None = None, below: str = ""
) -> Config:
    """Run a selection's warm-up in ``warmup/`` of its folder; return the configuration to use next.

    In that configuration, the policy is the trained one, and the gradients' KL term, if any, uses
    the initial model as reference.

    Args:
        config: The selection's configuration.
        progress: Shows the steps.
        redo: Table of the warm-up to discard first; see `train`.
        below: Prefix of ``warmup/`` in --redo.
    """
    if config.selection.warmup is None:
        return config
    run = config.run.model_copy(update={"out": config.run.out / "warmup"})
    done = train(
        warmup_config(config.model_copy(update={"run": run}), config.selection.warmup),
        progress=progress,
        redo=redo,
        below=f"{below}warmup/",
    )
    gradients = config.gradients
    if config.training.parameters == "lora":
        model = config.model.model_copy(update={"adapter": done.model})
    else:
        model = config.model.model_copy(update={"path": str(done.model), "adapter": None})
        if gradients.reference is None:
            gradients = gradients.model_copy(update={"reference": config.model.path})
    return config.model_copy(update={"model": model, "gradients": gradients})
