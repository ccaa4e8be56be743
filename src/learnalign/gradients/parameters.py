"""Which parameters a policy gradient is taken with respect to, and how their gradients add up."""

from typing import Literal

import torch
from torch import nn

from learnalign.errors import LearnAlignError


def select_parameters(
    model: nn.Module, kind: Literal["linear", "lora"], *, lora_rank: int = 16, seed: int = 0
) -> dict[str, nn.Parameter]:
    """Choose the parameters to differentiate; all others stop requiring gradients.

    Args:
        model: A causal language model of transformers (for ``lora``, with an adapter or without).
        kind: ``linear`` takes every weight of two or more dimensions that is neither an embedding
            nor the language-model head: linear layers, GPT-2's Conv1D, stacked experts. ``lora``
            takes a LoRA adapter's parameters; a model without one gets a fresh, seeded one, whose
            gradient is that of its B factors (they start at zero).
        lora_rank: Rank of a fresh adapter.
        seed: Seed of a fresh adapter.

    Returns:
        Names to parameters, in the model's own order.

    Raises:
        LearnAlignError: if nothing is left to differentiate.
    """
    if kind == "lora" and not any("lora_" in name for name, _ in model.named_parameters()):
        _add_adapter(model, rank=lora_rank, seed=seed)
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is not None:
        embeddings |= {id(parameter) for parameter in head.parameters()}
    chosen = {}
    for name, parameter in model.named_parameters():
        wanted = (
            "lora_" in name
            if kind == "lora"
            else parameter.ndim >= 2 and id(parameter) not in embeddings and "lora_" not in name
        )
        wanted = wanted and parameter.is_floating_point()
        parameter.requires_grad_(wanted)
        if wanted:
            chosen[name] = parameter
    if not chosen:
        raise LearnAlignError(
            f"found no {kind} parameters in a {type(model).__name__}",
            expected="linear layers with floating-point weights, or a LoRA adapter",
            do="use an unquantised model, or --set gradients.parameters=lora",
        )
    return chosen


def _add_adapter(model: nn.Module, *, rank: int, seed: int) -> None:
    """Put a seeded LoRA adapter on every linear layer, in place."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise LearnAlignError(
            "gradients.parameters=lora needs the package peft",
            do="pip install 'learnalign[lora]'",
        ) from error
    head = getattr(model, "get_output_embeddings", lambda: None)()
    targets = [
        name
        for name, module in model.named_modules()
        if module is not head and type(module).__name__ in ("Linear", "Conv1D")
    ]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), model
        )


class Accumulator:
    """The gradients of chosen parameters, summed in float32 (float64 for a float64 model).

    A parameter of 16 bits would round each partial sum; here its gradient is added to a buffer of
    32 bits as soon as autograd has it.
    """

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.num_values = sum(p.numel() for p in parameters.values())
        doubles = {p.dtype for p in parameters.values()} == {torch.float64}
        self.dtype = torch.float64 if doubles else torch.float32
        self._buffers: dict[int, torch.Tensor] = {}
        for parameter in parameters.values():
            if parameter.dtype != self.dtype:
                self._buffers[id(parameter)] = torch.zeros_like(parameter, dtype=self.dtype)
                parameter.register_post_accumulate_grad_hook(self._move)  # type: ignore[no-untyped-call]

    def zero(self) -> None:
        """Begin a new sum."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()
        for buffer in self._buffers.values():
            buffer.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Give the sums by name, each of its parameter's shape; zeros where nothing flowed."""
        return {name: self._sum(parameter) for name, parameter in self.parameters.items()}

    def _sum(self, parameter: nn.Parameter) -> torch.Tensor:
        if id(parameter) in self._buffers:
            return self._buffers[id(parameter)]
        return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

    def _move(self, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        self._buffers[id(parameter)].add_(parameter.grad)
        parameter.grad = None
