"""The warm-up: a short GRPO run on random problems; the selection uses the policy it trained."""

from typing import Any

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.terminal.progress import Progress
from learnalign.workflows.train import Training, train
from learnalign.workflows.training_problems import WHOLE, selection_folder


def warm_up(
    config: Config, num_problems: int, *, progress: Progress, redo: str | None = None
) -> Training:
    """Train on a random subset of the pool (arXiv 2506.11480, step 1).

    Args:
        config: The training section says how; ``data.paths`` are the whole pool.
        num_problems: How many problems are drawn.
        progress: Shows the steps.
        redo: Table to throw away first; see `train`.
    """
    return train(warming(config, num_problems), progress=progress, redo=redo)


def warming(config: Config, num_problems: int) -> Config:
    """Give the configuration that a warm-up trains with.

    A file of options for every verb may name the final training's subset; of data there is none.
    """
    training: dict[str, Any] = {"num_problems": num_problems}
    if selection_folder(config.data.paths) is None:
        training["subset"] = WHOLE
    changed = config.training.model_copy(update=training)
    return config.model_copy(update={"training": changed})


def redo_of_warmup(redo: str | None, config: Config) -> str | None:
    """Say what of a selection's warm-up --redo throws away; None if it means something else.

    Raises:
        LearnAlignError: if it means the warm-up and there is none.

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
            expected="--warmup N beside it",
            do="give the command that the run was made with",
        )
    return rest or "problems"


def warmed_up(
    config: Config, *, progress: Progress, redo: str | None = None, below: str = ""
) -> Config:
    """Do a selection's warm-up in ``warmup/`` of its folder; give the configuration to go on with.

    There the policy is the warm one, and the gradients' KL term, if any, pulls towards the model
    that the warm-up began with.

    Args:
        config: The selection's.
        progress: Shows the steps.
        redo: What of the warm-up to throw away first; see `train`.
        below: What stands before ``warmup/`` in --redo.
    """
    if config.selection.warmup is None:
        return config
    run = config.run.model_copy(update={"out": config.run.out / "warmup"})
    done = train(
        warming(config.model_copy(update={"run": run}), config.selection.warmup),
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
