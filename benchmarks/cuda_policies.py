"""Rows of a copy of a model on a device, as plain arrays, and how far two of them are apart."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cuda_profile import synchronisations
from learnalign.config import GradientConfig
from learnalign.gradients.policy import PolicyGradients


def gathered() -> dict[str, Any]:
    """Return the option for attention without a compiler, if this version has the option."""
    return {"attention": "gathered"} if has_flex() else {}


def has_flex() -> bool:
    """Return whether this version can attend by FlexAttention."""
    return "attention" in GradientConfig.model_fields


def policy(model: Any, device: str, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    """Make the gradients of a copy of a model on a device; attention is gathered by default."""
    config = GradientConfig(**{"sketch_size": 512, **gathered(), **more})
    moved = copy.deepcopy(model).to(device)
    if dtype == torch.float64:
        moved = moved.double()
    # As when a model is loaded: the rotary embedding's frequencies stay in float32.
    for parameter in moved.parameters():
        parameter.data = parameter.data.to(dtype)
    return PolicyGradients(moved, config, temperature=0.7, seed=0)


def apart(found: Any, truth: Any) -> float:
    """Return the norm of the difference over the norm of the truth."""
    one, other = (np.asarray(value, np.float64) for value in (found, truth))
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def whole(rows: list[Any]) -> np.ndarray:
    """Stack rows, each sketch times its norm."""
    return np.stack([row.sketch.astype(np.float64) * row.norm for row in rows])


class Replaced:
    """Stands for a `Backward` whose call is another function."""

    def __init__(self, backward: Any, call: Callable[[Any], None]) -> None:
        self.backward, self.call = backward, call

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backward, name)

    def __call__(self, pack: Any) -> None:
        """Call the other function."""
        self.call(pack)


def waits_of(subject: PolicyGradients, some: Any) -> tuple[list[str], list[str]]:
    """Return where the host waits on CUDA: in a whole call, and inside forward and backward."""
    everywhere = synchronisations(lambda: subject(some))
    inside: list[str] = []
    backward: Any = subject.backward
    subject.backward = Replaced(  # type: ignore[assignment]
        backward, lambda pack: inside.extend(synchronisations(lambda: backward(pack)))
    )
    try:
        subject(some)
    finally:
        subject.backward = backward
    return everywhere, inside
