"""Rows of a copy of a model on a device, as plain arrays, and how far two of them are apart."""

import copy
from typing import Any

import numpy as np
import torch

from learnalign.config import GradientConfig
from learnalign.gradients.policy import PolicyGradients


def policy(model: Any, device: str, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    """Make the gradients of a copy of a model on a device."""
    config = GradientConfig(**{"sketch_size": 512, **more})
    moved = copy.deepcopy(model).to(device=device, dtype=dtype)
    return PolicyGradients(moved, config, temperature=0.7, seed=0)


def apart(found: Any, truth: Any) -> float:
    """Return the norm of the difference over the norm of the truth."""
    one, other = (np.asarray(value, np.float64) for value in (found, truth))
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def whole(rows: list[Any]) -> np.ndarray:
    """Stack rows, each sketch times its norm."""
    return np.stack([row.sketch.astype(np.float64) * row.norm for row in rows])
