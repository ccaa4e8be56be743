"""Which problems each training step takes: whole passes over the data, no row ever lost."""

import math

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def step_problems(
    num_problems: int,
    per_step: int,
    *,
    epochs: float = 1.0,
    steps: int | None = None,
    shuffled: bool = True,
    seed: int = 0,
) -> Indices:
    """Give the problems of every step; the arguments alone decide.

    Passes over the data follow each other as one long list, and steps are cut from it. Where a step
    meets the end of a pass, the beginning of the next fills it up (no problem twice in a step: one
    that is there already waits for the step after); so does it fill up the last step.

    Args:
        num_problems: n, at least 1.
        per_step: Problems a step; no more than n are taken.
        epochs: Passes over the data, if ``steps`` is None.
        steps: Steps to train.
        shuffled: Each pass in an order of its own; else in that of the file.
        seed: Of the passes' orders.

    Returns:
        (steps, per_step) places of problems.

    Example:
        >>> step_problems(5, 2, shuffled=False).tolist()
        [[0, 1], [2, 3], [4, 0]]
        >>> step_problems(3, 2, epochs=2, shuffled=False).tolist()
        [[0, 1], [2, 0], [1, 2]]
    """
    size = min(per_step, num_problems)
    count = math.ceil(epochs * num_problems / size - 1e-9) if steps is None else steps
    taken: list[int] = []
    number = 0
    while len(taken) < count * size:
        order = _pass(num_problems, number, shuffled, seed)
        begun = set(taken[len(taken) - len(taken) % size :])
        missing = (size - len(begun)) % size
        first = [place for place in order if place not in begun][:missing]
        ahead = set(first)
        taken += first + [place for place in order if place not in ahead]
        number += 1
    return np.array(taken[: count * size], dtype=np.int64).reshape(count, size)


def _pass(num_problems: int, number: int, shuffled: bool, seed: int) -> list[int]:
    if not shuffled:
        return list(range(num_problems))
    key = np.array([seed, number], dtype=np.uint64)
    order: list[int] = (
        np.random.Generator(np.random.Philox(key=key)).permutation(num_problems).tolist()
    )
    return order
