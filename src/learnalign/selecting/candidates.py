"""The inputs of a selection method: the problems' statistics, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _empty() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Candidates:
    """The problems that may be selected, one entry per problem: arrays of shape (n,).

    Fields that a method does not require (`Method.requires`) are empty.
    """

    learnability: Floats
    success_rate: Floats
    tie_breaks: Floats
    """A random number in [0, 1), seeded by the problem's id: for ``random``, and for ties."""
    alignment: Floats = field(default_factory=_empty)
    """Unit row times the method's reference; 0 without signal."""
    gradient_norm: Floats = field(default_factory=_empty)
    """NaN without a gradient."""
    num_prompt_tokens: Floats = field(default_factory=_empty)
    prompt_nll: Floats = field(default_factory=_empty)
    """Nats per token of the prompt; NaN if no token is predicted."""
    answer_nll: Floats = field(default_factory=_empty)
    """Nats per token of the gold answer after the prompt."""
    answer_alone_nll: Floats = field(default_factory=_empty)
    """Nats per token of the gold answer without the prompt."""
    rating: Floats = field(default_factory=_empty)
    """The model's rating of the problem; see `learnalign.features.selectit`."""
    history: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """(n, e) success rates of an earlier training run, NaN where there is none."""
    rows: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None
    """Returns the (m, d) unit gradients of the problems at given indices."""
    count: int = 0
    """K, the number of problems to select."""
    band: tuple[float, float] = (0.2, 0.8)
    """Success rates that ``band`` keeps, both ends included."""
