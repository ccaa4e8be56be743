"""The objective's gradient with respect to the last hidden states, in chunks of tokens.

The layers need only this gradient, so a chunk's logits are discarded before the next chunk's are
computed: (tokens x vocabulary) values never exist at once.
"""

from collections.abc import Iterator
from typing import Any

import torch

from learnalign.gradients.device import add_at
from learnalign.gradients.layout import Pack
from learnalign.models.head import CHUNK_VALUES, Head


class PolicyHead(Head):
    """The head of a policy: log-probabilities of packed responses, and their gradients."""

    def gradient(self, output: Any, pack: Pack, *, temperature: float) -> torch.Tensor:
        """Differentiate ``sum_pairs w log pi(target | token)`` with respect to the hidden states.

        With a KL term, ``kl_weight (pi_ref / pi - 1)`` is added to the pair's weight w. If the
        head's own parameters require gradients, those are added to ``.grad``.

        Args:
            output: The layers' output for the pack.
            pack: Defines which tokens predict which targets, with which weights.
            temperature: Divides the logits.

        Returns:
            (U, H) gradients, of the hidden states' dtype.
        """
        pieces, ratios = [], []
        for chunk, start, pairs in self._chunks(output, pack):
            chunk.requires_grad_()
            with torch.enable_grad():
                logits = self.logits(output, chunk)
            # Gradient with respect to the logits: the targets' weights minus the softmax.
            scaled = _scaled(logits, temperature)
            rows, targets = pack.pair_rows[pairs] - start, pack.pair_targets[pairs]
            flat = rows * scaled.shape[1] + targets
            weights = pack.pair_weights[pairs]
            if pack.pair_kl_weights is not None and pack.pair_references is not None:
                logprobs = scaled.view(-1)[flat] - scaled.logsumexp(-1)[rows]
                ratio = (pack.pair_references[pairs] - logprobs).exp()
                ratios.append(ratio)
                weights = weights + pack.pair_kl_weights[pairs] * (ratio - 1.0)
            sums = weights.new_zeros(len(chunk))
            add_at(sums, 0, rows, weights)
            slope = scaled.softmax(-1).mul_(-sums[:, None])
            add_at(slope.view(-1), 0, flat, weights)
            slope = slope.div_(temperature).to(logits.dtype)
            torch.autograd.backward(logits, slope)
            assert chunk.grad is not None
            pieces.append(chunk.grad)
        pack.ratios = torch.cat(ratios) if ratios else None
        return torch.cat(pieces)

    @torch.no_grad()
    def logprobs(self, output: Any, pack: Pack, *, temperature: float) -> torch.Tensor:
        """Return log pi(target | token) of each pair, (L,), in the pack's order."""
        pieces = []
        for chunk, start, pairs in self._chunks(output, pack):
            scaled = _scaled(self.logits(output, chunk), temperature)
            rows, targets = pack.pair_rows[pairs] - start, pack.pair_targets[pairs]
            pieces.append(scaled[rows, targets] - scaled.logsumexp(-1)[rows])
        return torch.cat(pieces)

    def _chunks(self, output: Any, pack: Pack) -> Iterator[tuple[torch.Tensor, int, slice]]:
        """Split the predicting hidden states; yield (hidden states, first row, pairs) per chunk."""
        hidden = output.last_hidden_state.detach().flatten(0, 1)[pack.predicting]
        step = max(1, CHUNK_VALUES // self.vocabulary)
        for start in range(0, len(hidden), step):
            end = min(start + step, len(hidden))
            yield hidden[start:end], start, slice(pack.pair_bounds[start], pack.pair_bounds[end])


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divide the logits by the temperature, in at least float32."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.detach().to(wide) / temperature
