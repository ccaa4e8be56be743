"""One problem's backward pass: the prompt once, its responses in batches upon it.

All rollouts of a problem share its prompt. The prompt runs once into a key-value cache; the
responses run on copies of it that are cut off from the prompt's graph, and leave their gradients
at the cached keys and values; one backward pass through the prompt then takes all of these at once.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class GroupBackward:
    """Adds ``sum_g w_g sum_t grad log pi(o_{g,t} | prompt, o_{g,<t})`` to the parameters' gradients.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        temperature: The logits are divided by it, as when the rollouts were sampled.
        token_budget: Response tokens (padding included) that are differentiated at once.
    """  # noqa: E501

    def __init__(self, model: nn.Module, *, temperature: float, token_budget: int) -> None:
        self.model, self.temperature, self.token_budget = model, temperature, token_budget
        self.device = next(model.parameters()).device
        self._wanted: torch.Tensor | None = None
        head = model.get_output_embeddings()  # type: ignore[operator]
        head.register_forward_pre_hook(self._keep_wanted)

    def __call__(
        self,
        prompt_ids: Sequence[int],
        responses: Sequence[Sequence[int]],
        weights: Sequence[float],
    ) -> None:
        """Run the backward pass of one problem.

        Args:
            prompt_ids: Token ids of the prompt, at least one.
            responses: G lists of sampled token ids; equal ones are run once.
            weights: G weights of the objective (`objective.rollout_weights`).
        """
        merged: dict[tuple[int, ...], float] = {}
        for response, weight in zip(responses, weights, strict=True):
            merged[tuple(response)] = merged.get(tuple(response), 0.0) + weight
        rows = sorted(
            ((ids, w) for ids, w in merged.items() if ids and w != 0.0),
            key=lambda row: (-len(row[0]), row[0]),
        )
        prefix = self._prefix(prompt_ids[:-1]) if len(prompt_ids) > 1 and rows else None
        leaves = None if prefix is None else [t.detach().requires_grad_() for t in prefix]
        start = 0
        while start < len(rows):
            count = max(1, self.token_budget // len(rows[start][0]))
            batch = rows[start : start + count]
            start += count
            if leaves is None:
                self._responses(prompt_ids, batch, None)
            else:
                self._responses(prompt_ids, batch, leaves)
        if prefix is not None and leaves is not None:
            pairs = [(t, leaf.grad) for t, leaf in zip(prefix, leaves, strict=True)]
            pairs = [(t, grad) for t, grad in pairs if grad is not None and t.requires_grad]
            if pairs:
                torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])

    def _prefix(self, ids: Sequence[int]) -> list[torch.Tensor] | None:
        """Run the prompt without its last token; give its keys and values, layer by layer.

        None if the model keeps anything but plain keys and values of all tokens (sliding windows,
        recurrent states): its responses are then run with their whole prompt.
        """
        cache = DynamicCache(config=self.model.config)  # type: ignore[arg-type]
        if any(type(layer) is not DynamicLayer for layer in cache.layers):
            return None
        self._wanted = torch.empty(0, dtype=torch.long, device=self.device)
        tokens = torch.tensor([list(ids)], device=self.device)
        self.model(input_ids=tokens, past_key_values=cache, use_cache=True)
        layers = [layer for layer in cache.layers if type(layer) is DynamicLayer]
        if len(layers) != len(cache.layers) or not layers:
            return None
        return [t for layer in layers for t in (layer.keys, layer.values) if t is not None]

    def _responses(
        self,
        prompt_ids: Sequence[int],
        rows: Sequence[tuple[tuple[int, ...], float]],
        leaves: list[torch.Tensor] | None,
    ) -> None:
        """Run a batch of responses forward and backward; they are padded on the right."""
        before = list(prompt_ids) if leaves is None else [prompt_ids[-1]]
        past = 0 if leaves is None else len(prompt_ids) - 1
        width = len(before) - 1 + len(rows[0][0])
        inputs = torch.zeros(len(rows), width, dtype=torch.long)
        wanted: list[int] = []
        targets: list[int] = []
        weights: list[float] = []
        for r, (ids, weight) in enumerate(rows):
            inputs[r, : len(before) - 1 + len(ids)] = torch.tensor([*before, *ids[:-1]])
            first = r * width + len(before) - 1
            wanted += range(first, first + len(ids))
            targets += ids
            weights += [weight] * len(ids)
        arguments: dict[str, Any] = {"use_cache": False}
        if leaves is not None:
            cache = DynamicCache()
            for layer in range(len(leaves) // 2):
                keys, values = (
                    t.expand(len(rows), -1, -1, -1) for t in leaves[2 * layer : 2 * layer + 2]
                )
                cache.update(keys, values, layer)
            arguments = {"past_key_values": cache, "use_cache": True}
        positions = torch.arange(past, past + width, device=self.device)
        self._wanted = torch.tensor(wanted, device=self.device)
        logits = self.model(
            input_ids=inputs.to(self.device),
            position_ids=positions.expand(len(rows), -1),
            **arguments,
        ).logits[0]
        wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
        logprobs = torch.log_softmax(logits.to(wide) / self.temperature, dim=-1)
        chosen = logprobs.gather(1, torch.tensor(targets, device=self.device)[:, None])[:, 0]
        scale = torch.tensor(weights, dtype=wide, device=self.device)
        (chosen * scale).sum().backward()  # type: ignore[no-untyped-call]

    def _keep_wanted(self, _module: nn.Module, args: tuple[torch.Tensor, ...]) -> Any:
        """Let only the hidden states whose logits are needed into the head."""
        if self._wanted is None:
            return None
        hidden = args[0]
        kept = hidden.reshape(-1, hidden.shape[-1])[self._wanted][None]
        self._wanted = None
        return (kept, *args[1:])
