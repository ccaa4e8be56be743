"""Float32 copies of trained parameters that are kept in less: what an optimiser moves."""

from typing import Any

import torch
from torch import nn


class MasterWeights:
    """The trained parameters of a model, in float32 at least.

    bfloat16 and float16 are too coarse for small steps and for adding gradients up. Where the model
    works in one of them its trained parameters keep a float32 copy, as exact as they came; each
    gradient that autograd forms moves there at once, so that it exists in one place only.

    Args:
        model: Its parameters that require gradients are trained.
        dtype: What the trained parameters become in the model itself; None leaves them.

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
                _adding_to(master)
            )
            self.named[name] = master
            self._pairs.append((parameter, master))

    @torch.no_grad()
    def write_back(self) -> None:
        """Round the masters to the model's own parameters."""
        for parameter, master in self._pairs:
            parameter.copy_(master)

    def widen(self) -> None:
        """Turn the model's own parameters into the masters, for saving what was learned whole."""
        for parameter, master in self._pairs:
            parameter.data = master.data

    def fill_gradients(self) -> None:
        """Give a gradient of zeros to what has none: momentum moves it all the same."""
        for master in self.named.values():
            if master.grad is None:
                master.grad = torch.zeros_like(master)

    def clear_gradients(self) -> None:
        """Forget the gradients."""
        for master in self.named.values():
            master.grad = None


def _adding_to(master: nn.Parameter) -> Any:
    def add(parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if master.grad is None:
            master.grad = gradient.to(master.dtype)
        else:
            master.grad += gradient
        parameter.grad = None

    return add
