"""From the last hidden states to the objective, a chunk of tokens at a time.

The gradient with respect to the hidden states is all the layers need, so a chunk's logits are
thrown away before the next chunk's are made: (tokens x vocabulary) values never exist at once.
"""

from collections.abc import Iterator
from typing import Any

import torch

from learnalign.gradients.layout import Pack
from learnalign.models.head import CHUNK_VALUES, Head


class PolicyHead(Head):
    """The head of a policy: log-probabilities of packed responses, and what climbs them."""

    def gradient(self, output: Any, pack: Pack, *, temperature: float) -> torch.Tensor:
        """Differentiate ``sum_pairs w log pi(target | place)`` by the hidden states at the places.

        Where a reference pulls, w is the pair's weight and ``pull (pi_ref / pi - 1)`` more. If the
        head's own parameters require gradients, theirs are added to ``.grad``.

        Args:
            output: What the layers returned for the pack.
            pack: Says which places predict which tokens, with what weights.
            temperature: The logits are divided by it.

        Returns:
            (U, H) gradients, of the hidden states' dtype.
        """
        pieces, ratios = [], []
        for chunk, start, pairs in self._chunks(output, pack):
            chunk.requires_grad_()
            with torch.enable_grad():
                logits = self.logits(output, chunk)
            # Of the log-probabilities by the logits: the chosen ones' weights, less the softmax.
            scaled = _scaled(logits, temperature)
            places, targets = pack.pair_places[pairs] - start, pack.pair_targets[pairs]
            # index_add_ adds in one order on a CPU; an accumulating index_put_ does not.
            flat = places * scaled.shape[1] + targets
            weights = pack.pair_weights[pairs]
            if pack.pair_pulls is not None and pack.pair_references is not None:
                logprobs = scaled.view(-1)[flat] - scaled.logsumexp(-1)[places]
                ratio = (pack.pair_references[pairs] - logprobs).exp()
                ratios.append(ratio)
                weights = weights + pack.pair_pulls[pairs] * (ratio - 1.0)
            sums = weights.new_zeros(len(chunk)).index_add_(0, places, weights)
            slope = scaled.softmax(-1).mul_(-sums[:, None])
            slope.view(-1).index_add_(0, flat, weights)
            slope = slope.div_(temperature).to(logits.dtype)
            torch.autograd.backward(logits, slope)
            assert chunk.grad is not None
            pieces.append(chunk.grad)
        pack.ratios = torch.cat(ratios) if ratios else None
        return torch.cat(pieces)

    @torch.no_grad()
    def logprobs(self, output: Any, pack: Pack, *, temperature: float) -> torch.Tensor:
        """Give log pi(target | place) of each pair, (L,), in the pack's order."""
        pieces = []
        for chunk, start, pairs in self._chunks(output, pack):
            scaled = _scaled(self.logits(output, chunk), temperature)
            places, targets = pack.pair_places[pairs] - start, pack.pair_targets[pairs]
            pieces.append(scaled[places, targets] - scaled.logsumexp(-1)[places])
        return torch.cat(pieces)

    def _chunks(self, output: Any, pack: Pack) -> Iterator[tuple[torch.Tensor, int, slice]]:
        """Cut the hidden states at the places; give (hidden states, first place, pairs) of each."""
        hidden = output.last_hidden_state.detach().flatten(0, 1)[pack.places]
        step = max(1, CHUNK_VALUES // self.vocabulary)
        for start in range(0, len(hidden), step):
            end = min(start + step, len(hidden))
            yield hidden[start:end], start, slice(pack.pair_bounds[start], pack.pair_bounds[end])


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Give the logits at a temperature, in float32 at least."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.detach().to(wide) / temperature
