"""One packed batch through the model and back; the model's parameters are not touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from learnalign.gradients import attention
from learnalign.gradients.head import PolicyHead
from learnalign.gradients.layout import Pack


class Backward:
    """Runs ``sum_pairs w log pi(target | place)`` of a pack backward through a model's layers.

    Args:
        model: A causal language model of transformers; put into evaluation mode.
        temperature: The logits are divided by it, as when the rollouts were sampled.
    """

    def __init__(self, model: Any, *, temperature: float) -> None:
        self.model, self.temperature = model.eval(), temperature
        self.head = PolicyHead(model)
        # Weights that are watched from outside need no gradient; the graph begins at the embedding.
        model.get_input_embeddings().register_forward_hook(_begin_graph)

    def __call__(self, pack: Pack) -> None:
        """Run one pass forward and one back."""
        with _attention_of(self.model, pack):
            output = self.hidden(pack)
            hidden = output.last_hidden_state.flatten(0, 1)
            gradient = self.head.gradient(output, pack, temperature=self.temperature)
            whole = torch.zeros_like(hidden).index_copy_(0, pack.places, gradient)
            hidden.backward(whole)

    def hidden(self, pack: Pack) -> Any:
        """Run the layers on a pack; give their output object."""
        with _attention_of(self.model, pack):
            return self.head.base(
                input_ids=pack.input_ids, position_ids=pack.position_ids, use_cache=False
            )

    def checkpoint(self) -> bool:
        """Keep only each layer's input from now on, and run the layer again on the way back.

        Returns:
            Whether the model's layers can do so.
        """
        if not self.model.supports_gradient_checkpointing:
            return False
        # The re-entrant way runs the first pass without a graph, so hooks fire in the second only.
        enable = getattr(self.model, "activation_checkpointing_enable", None)  # its newer name
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": True})
        for module in self.model.modules():
            # Layers look at their own flag; what lies inside them stays in evaluation mode.
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
        return True


@contextmanager
def _attention_of(model: Any, pack: Pack) -> Iterator[None]:
    """Let a packed batch attend by its layout, and any other as the model always does."""
    if pack.sequences is None:
        yield
        return
    before = model.config._attn_implementation
    model.set_attn_implementation(attention.NAME)
    try:
        with attention.attending(pack):
            yield
    finally:
        model.set_attn_implementation(before)


def _begin_graph(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
    if torch.is_grad_enabled() and not output.requires_grad:
        return output.requires_grad_()
    return None
