"""The output head of a causal language model, with its scaling and capping of logits."""

import copy
from typing import Any

import torch
from torch import nn

#: Values of logits that exist at once: 64 MB in float32.
CHUNK_VALUES = 1 << 24


class Head:
    """Converts hidden states to logits as the model does.

    It calls the model's own ``forward``, with the layers replaced by the given hidden states, so
    that logits are processed as in each model family.

    Args:
        model: A causal language model of transformers.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.base = model, base_model(model)
        self.vocabulary, self.width = map(int, model.get_output_embeddings().weight.shape)

    def logits(self, output: Any, hidden: torch.Tensor) -> torch.Tensor:
        """Return the (U, V) logits of (U, H) hidden states.

        Args:
            output: The layers' output for any input; its hidden states are replaced.
            hidden: The hidden states, at most ``CHUNK_VALUES`` logits at once.
        """
        output = copy.copy(output)
        output["last_hidden_state"] = hidden[None]
        original = self.base.__dict__.get("forward")
        self.base.forward = lambda *_arguments, **_named: output
        try:
            token = torch.zeros(1, 1, dtype=torch.long, device=hidden.device)
            logits: torch.Tensor = self.model(input_ids=token, use_cache=False).logits[0]
        finally:
            if original is None:
                del self.base.forward
            else:
                self.base.forward = original
        return logits


def base_model(model: Any) -> nn.Module:
    """Return the part of a causal language model that computes the last hidden states."""
    decoder = model.get_decoder()
    if isinstance(decoder, nn.Module) and decoder is not model:
        return decoder
    base: nn.Module = getattr(model, model.base_model_prefix)
    return base
