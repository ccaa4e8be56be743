"""How long a training is at most: in steps, and in groups by its limit of rollouts."""

import math

from learnalign.config import Config


def step_limit(config: Config, num_problems: int) -> int | None:
    """Return the largest number of steps that the options allow; None for whole passes.

    A step samples a whole batch at least, so `training.max_rollouts` is a limit of steps too.
    """
    training, groups = config.training, group_limit(config)
    if groups is None:
        return training.steps
    most = math.ceil(groups / min(training.problems_per_step, num_problems))
    return most if training.steps is None else min(most, training.steps)


def group_limit(config: Config) -> int | None:
    """Return the number of groups after which the training ends; None without a limit."""
    most = config.training.max_rollouts
    return None if most is None else math.ceil(most / config.rollouts.num_rollouts)
