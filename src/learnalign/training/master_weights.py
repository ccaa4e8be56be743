"""Float32 master copies of trained parameters in lower precision, for the optimiser."""

from typing import Any

import torch
from torch import nn


class MasterWeights:
    """The trained parameters of a model, in float32 or more.

    bfloat16 and float16 are too coarse for small updates and for accumulating gradients. For a
    model in one of them, each trained parameter gets a float32 copy in its original precision.
    Gradients are moved to the copies as soon as autograd computes them, so each is stored once.

    Args:
        model: Its parameters that require gradients are trained.
        dtype: dtype of the trained parameters in the model itself; None keeps theirs.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> masters = MasterWeights(layer, torch.bfloat16)
        >>> for _ in range(2):
        ...     layer(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
        >>> masters.named["weight"].grad.tolist(), layer.weight.grad
        ([[2.0, 2.0]], None)
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None) -> None:
        self.named: dict[str, nn.Parameter] = {}
        self._pairs: list[tuple[nn.Parameter, nn.Parameter]] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            narrow = parameter.dtype if dtype is None else dtype
            if narrow in (torch.float32, torch.float64):
                self.named[name] = parameter
                continue
            master = nn.Parameter(parameter.detach().float())
            parameter.data = parameter.data.to(narrow)
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                _accumulate_into(master)
            )
            self.named[name] = master
            self._pairs.append((parameter, master))

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the masters to the model's parameters, rounded to their dtype."""
        for parameter, master in self._pairs:
            parameter.copy_(master)

    def widen(self) -> None:
        """Replace the model's parameters by the masters, to save them in full precision."""
        for parameter, master in self._pairs:
            parameter.data = master.data

    def fill_gradients(self) -> None:
        """Set missing gradients to zero: AdamW's momentum still updates those parameters."""
        for master in self.named.values():
            if master.grad is None:
                master.grad = torch.zeros_like(master)

    def clear_gradients(self) -> None:
        """Set all gradients to None."""
        for master in self.named.values():
            master.grad = None


def _accumulate_into(master: nn.Parameter) -> Any:
    def add(parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if master.grad is None:
            master.grad = gradient.to(master.dtype)
        else:
            master.grad += gradient
        parameter.grad = None

    return add
