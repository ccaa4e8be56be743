"""Select the weights of the policy gradient, and how each one's gradient is computed."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from learnalign.errors import LearnAlignError


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight to differentiate."""

    name: str
    parameter: nn.Parameter
    module: nn.Module | None
    """The linear layer it belongs to, whose inputs and output gradients are hooked; None if
    autograd must compute the gradient (experts stacked in one tensor, routers, convolutions)."""
    transposed: bool = False
    """Stored as (inputs, outputs), as GPT-2's Conv1D does."""

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs); a stack of matrices is one tall matrix."""
        inputs = self.parameter.shape[0 if self.transposed else -1]
        return self.parameter.numel() // inputs, inputs


def select_weights(
    model: nn.Module, kind: Literal["linear", "lora"], *, lora_rank: int = 16, seed: int = 0
) -> list[Weight]:
    """Select the weights to differentiate.

    Args:
        model: A causal language model of transformers (for ``lora``, with or without an adapter).
        kind: ``linear`` selects every weight with two or more dimensions that is neither an
            embedding nor the language-model head: linear layers, GPT-2's Conv1D, stacked experts.
            ``lora`` selects a LoRA adapter's parameters; a model without one gets a new, seeded
            one, whose gradient is that of its B factors (they start at zero).
        lora_rank: Rank of a new adapter.
        seed: Seed of a new adapter.

    Returns:
        The weights in the model's order, each with its layer if that is a plain linear layer.

    Raises:
        LearnAlignError: if no weight can be differentiated, or the layers are quantised.
    """
    if kind == "lora" and not any("lora_" in name for name, _ in model.named_parameters()):
        _add_adapter(model, rank=lora_rank, seed=seed)
    if kind == "linear":
        _check_not_quantised(model)
    owners = {
        id(module.weight): module
        for module in model.modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    excluded = _embeddings(model)
    chosen = []
    for name, parameter in model.named_parameters():
        if kind == "lora":
            selected = "lora_" in name
        else:
            selected = parameter.ndim >= 2 and id(parameter) not in excluded and "lora_" not in name
        if selected and parameter.is_floating_point():
            module = owners.get(id(parameter))
            chosen.append(Weight(name, parameter, module, isinstance(module, Conv1D)))
    if not chosen:
        raise LearnAlignError(
            f"found no {kind} parameters in a {type(model).__name__}",
            expected="linear layers with floating-point weights, or a LoRA adapter",
            do="use an unquantised model, or --set gradients.parameters=lora",
        )
    return chosen


def _embeddings(model: nn.Module) -> set[int]:
    """Collect the ids of the embeddings' and the head's parameters."""
    ids = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return ids if head is None else ids | {id(p) for p in head.parameters()}


def _check_not_quantised(model: nn.Module) -> None:
    """Raise an error if weights are quantised, so that they have no gradient."""
    config = getattr(model, "config", None)
    quantised = getattr(config, "quantization_config", None) is not None
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        is_integer = isinstance(weight, torch.Tensor) and not weight.is_floating_point()
        if quantised or is_integer:
            raise LearnAlignError(
                f"the linear layers are quantised (first seen in {name or type(model).__name__})",
                expected="floating-point weights",
                do="use the unquantised model, or a LoRA adapter's gradients: "
                "--set gradients.parameters=lora",
            )


def _add_adapter(model: nn.Module, *, rank: int, seed: int) -> None:
    """Add a seeded LoRA adapter to every linear layer, in place."""
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
