"""The order of the training data: whole passes over the problems, without dropping rows."""

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
    """Return the problems of every step; deterministic in the arguments.

    Passes over the data are concatenated and cut into steps. A step at the end of a pass, also the
    last one, is filled from the beginning of the next pass. No problem appears twice in a step: a
    duplicate moves to the following step.

    Args:
        num_problems: n, at least 1.
        per_step: Problems per step, capped at n.
        epochs: Passes over the data, if ``steps`` is None.
        steps: Number of steps.
        shuffled: Whether to shuffle each pass; otherwise the order of the file.
        seed: Seed of the shuffling.

    Returns:
        (steps, per_step) indices of problems.

    Example:
        >>> step_problems(5, 2, shuffled=False).tolist()
        [[0, 1], [2, 3], [4, 0]]
        >>> step_problems(3, 2, epochs=2, shuffled=False).tolist()
        [[0, 1], [2, 0], [1, 2]]
    """
    size = min(per_step, num_problems)
    count = math.ceil(epochs * num_problems / size - 1e-9) if steps is None else steps
    indices: list[int] = []
    epoch = 0
    while len(indices) < count * size:
        order = _pass(num_problems, epoch, shuffled, seed)
        partial = set(indices[len(indices) - len(indices) % size :])
        missing = (size - len(partial)) % size
        fill = [index for index in order if index not in partial][:missing]
        used = set(fill)
        indices += fill + [index for index in order if index not in used]
        epoch += 1
    return np.array(indices[: count * size], dtype=np.int64).reshape(count, size)


def _pass(num_problems: int, epoch: int, shuffled: bool, seed: int) -> list[int]:
    if not shuffled:
        return list(range(num_problems))
    key = np.array([seed, epoch], dtype=np.uint64)
    order: list[int] = (
        np.random.Generator(np.random.Philox(key=key)).permutation(num_problems).tolist()
    )
    return order
