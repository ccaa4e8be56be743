"""Forward and backward pass of a packed batch; the model's parameters do not change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from learnalign.gradients import attention, flex
from learnalign.gradients.head import PolicyHead
from learnalign.gradients.layout import Pack


class Backward:
    """Backpropagates ``sum_pairs w log pi(target | token)`` of a pack through a model's layers.

    Args:
        model: A causal language model of transformers; put into evaluation mode.
        temperature: Temperature of the rollouts; divides the logits.
        kernel: How packed problems attend: ``gathered`` (`attention`), ``flex`` (`flex`), or
            ``auto``, which is flex on CUDA where `probe` finds it right, and gathered elsewhere.
    """

    def __init__(self, model: Any, *, temperature: float, kernel: str = "auto") -> None:
        self.model, self.temperature, self.kernel = model.eval(), temperature, kernel
        self.head = PolicyHead(model)
        # Hooked weights need no gradient of their own; the graph starts at the embedding.
        model.get_input_embeddings().register_forward_hook(_begin_graph)

    def __call__(self, pack: Pack) -> None:
        """Run a forward and a backward pass."""
        with self._attention(pack):
            output = self.hidden(pack)
            hidden = output.last_hidden_state.flatten(0, 1)
            gradient = self.head.gradient(output, pack, temperature=self.temperature)
            full = torch.zeros_like(hidden).index_copy_(0, pack.predicting, gradient)
            hidden.backward(full)

    def hidden(self, pack: Pack) -> Any:
        """Run the layers on a pack; return their output object."""
        with self._attention(pack):
            return self.head.base(
                input_ids=pack.input_ids, position_ids=pack.position_ids, use_cache=False
            )

    def checkpoint(self) -> bool:
        """Keep only each layer's input, and run the layer again in the backward pass.

        Returns:
            Whether the model's layers support this.
        """
        if not self.model.supports_gradient_checkpointing:
            return False
        # Re-entrant: the first pass runs without a graph, so hooks fire only in the second.
        enable = getattr(self.model, "activation_checkpointing_enable", None)  # its newer name
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": True})
        for module in self.model.modules():
            # Layers check their own flag; the modules inside them stay in evaluation mode.
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
        return True

    @contextmanager
    def _attention(self, pack: Pack) -> Iterator[None]:
        """Use the packed attention for a packed batch, and the model's own for any other."""
        if pack.sequences is None:
            yield
            return
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation(flex.NAME if self.kernel == "flex" else attention.NAME)
        try:
            with attention.attending(pack):
                yield
        finally:
            self.model.set_attn_implementation(before)


def _begin_graph(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
    if torch.is_grad_enabled() and not output.requires_grad:
        return output.requires_grad_()
    return None
