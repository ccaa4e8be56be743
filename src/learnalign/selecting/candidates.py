"""What a selection method may look at: the problems' figures, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _nothing() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Candidates:
    """The problems that may be chosen, one entry a problem: arrays of shape (n,).

    What a method does not ask for (`Method.requires`) is left empty.
    """

    learnability: Floats
    success_rate: Floats
    tie_breaks: Floats
    """A number in [0, 1) that is seeded by the problem's id: for ``random``, and for ties."""
    alignment: Floats = field(default_factory=_nothing)
    """Unit row times the method's reference; 0 without signal."""
    gradient_norm: Floats = field(default_factory=_nothing)
    """NaN without a gradient."""
    num_prompt_tokens: Floats = field(default_factory=_nothing)
    prompt_nll: Floats = field(default_factory=_nothing)
    """Nats a token of the prompt; NaN where nothing is predicted."""
    answer_nll: Floats = field(default_factory=_nothing)
    """Nats a token of the gold answer after the prompt."""
    answer_alone_nll: Floats = field(default_factory=_nothing)
    """Nats a token of the gold answer without it."""
    rating: Floats = field(default_factory=_nothing)
    """What the model says the problem is worth; see `learnalign.features.selectit`."""
    history: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """(n, e) success rates of an earlier training, NaN where there is no reading."""
    rows: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None
    """Gives the (m, d) unit gradients of the problems at some places."""
    count: int = 0
    """K, how many are to be chosen."""
    band: tuple[float, float] = (0.2, 0.8)
    """Success rates that ``band`` keeps, both ends included."""
