"""One training step's rounds: choose, sample, observe, and refill what was dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from learnalign.curriculum.base import Curriculum, Indices


class Outcomes(NamedTuple):
    """What came of k groups; the arguments of `Curriculum.observe`."""

    successes: ArrayLike
    num_rollouts: ArrayLike
    has_signal: ArrayLike | None = None


@dataclass(frozen=True)
class Step:
    """What a step sampled and trains on."""

    trained: Indices
    """(m,) problems to train on, at most the batch size."""
    sampled: Indices
    """(k,) problems that rollouts were made of; all of them are paid for."""
    rounds: int


def collect_step(
    curriculum: Curriculum,
    batch_size: int,
    roll_out: Callable[[Indices], Outcomes],
    *,
    max_rounds: int = 10,
    whole_batches: bool = False,
) -> Step:
    """Run the rounds of one step.

    Args:
        curriculum: Chooses and observes.
        batch_size: Groups to train on.
        roll_out: Samples and verifies rollouts of the given (k,) problems.
        max_rounds: Limit of rounds; then the batch stays smaller.
        whole_batches: Whether each round samples a whole batch, and groups beyond the batch size
            are discarded, as in verl's recipe of DAPO; otherwise as many as are missing.

    Example:
        >>> from learnalign.curriculum.dynamic import Dynamic
        >>> wins = np.array([0, 8, 3, 5, 0, 1])
        >>> step = collect_step(Dynamic(6, shuffled=False), 2, lambda i: Outcomes(wins[i], 8))
        >>> step.trained.tolist(), step.sampled.tolist(), step.rounds
        ([2, 3], [0, 1, 2, 3], 2)
    """
    trained: list[int] = []
    sampled: list[int] = []
    rounds = 0
    while len(trained) < batch_size and rounds < max_rounds:
        wanted = batch_size if whole_batches else batch_size - len(trained)
        indices = curriculum.next_batch(wanted, refill=rounds > 0)
        if not len(indices):
            break
        found = roll_out(indices)
        keep = curriculum.observe(
            indices, found.successes, found.num_rollouts, has_signal=found.has_signal
        )
        sampled += indices.tolist()
        trained += indices[keep].tolist()
        rounds += 1
    chosen = np.array(trained[:batch_size], dtype=np.int64)
    return Step(chosen, np.array(sampled, dtype=np.int64), rounds)
