"""What a causal language model does behind its last hidden states: head, scaling, capping."""

import copy
from typing import Any

import torch
from torch import nn

#: Values of logits that exist at once: 64 MB in float32.
CHUNK_VALUES = 1 << 24


class Head:
    """Turns hidden states into logits as the model does.

    The model's own ``forward`` does it, with the layers below replaced by hidden states that are
    there already; so whatever a family does to its logits is done here too.

    Args:
        model: A causal language model of transformers.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.base = model, base_model(model)
        self.vocabulary, self.width = map(int, model.get_output_embeddings().weight.shape)

    def logits(self, output: Any, hidden: torch.Tensor) -> torch.Tensor:
        """Give the (U, V) logits of (U, H) hidden states.

        Args:
            output: What the layers returned for any input; its hidden states are replaced.
            hidden: The hidden states; no more at once than ``CHUNK_VALUES`` has room for.
        """
        output = copy.copy(output)
        output["last_hidden_state"] = hidden[None]
        own = self.base.__dict__.get("forward")
        self.base.forward = lambda *_arguments, **_named: output
        try:
            token = torch.zeros(1, 1, dtype=torch.long, device=hidden.device)
            logits: torch.Tensor = self.model(input_ids=token, use_cache=False).logits[0]
        finally:
            if own is None:
                del self.base.forward
            else:
                self.base.forward = own
        return logits


def base_model(model: Any) -> nn.Module:
    """Give the part of a causal language model that ends in the last hidden states."""
    decoder = model.get_decoder()
    if isinstance(decoder, nn.Module) and decoder is not model:
        return decoder
    base: nn.Module = getattr(model, model.base_model_prefix)
    return base
