"""Batched forward passes over token sequences: token losses, hidden states, logits.

(tokens x vocabulary) logits never exist at once: the head processes one chunk of tokens at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from learnalign.errors import LearnAlignError
from learnalign.models.head import CHUNK_VALUES, Head

Floats = NDArray[np.float64]
Sequences = Sequence[Sequence[int]]

#: Tokens per batch, padding included, up to which larger batches are faster.
_TOKENS = {"cpu": 1024, "cuda": 32_768}


class Forward:
    """Runs sequences of similar length together, padded on the right, where no token attends.

    Up to rounding, the results of a sequence do not depend on the rest of its batch. If a CUDA
    device runs out of memory, later batches are half as large.

    Args:
        model: A causal language model of transformers, on its device.
        token_budget: Tokens per batch, padding included; the device's most efficient number if
            None. A longer sequence is its own batch.
    """

    def __init__(self, model: Any, *, token_budget: int | None = None) -> None:
        self.head = Head(model)
        self.vocabulary, self.width = self.head.vocabulary, self.head.width
        self.device = next(model.parameters()).device
        self.token_budget = token_budget or _TOKENS.get(self.device.type, 8192)

    def read(self, sequences: Sequences, positions: Sequence[int]) -> tuple[list[Floats], Floats]:
        """Compute each sequence's token losses, and its hidden state at one position.

        Args:
            sequences: n sequences of token ids, none empty.
            positions: n positions, one per sequence.

        Returns:
            The losses of each sequence, (t-1,): the negative log-probability of each token except
            the first, computed in at least float32; and the (n, H) last hidden states at the
            positions, as passed to the head.

        Raises:
            LearnAlignError: if a single sequence does not fit in a CUDA device's memory.
        """

        def extract(output: Any, batch: Sequences, at: list[int]) -> torch.Tensor:
            losses = self._losses(output, batch)
            states = self._states(output, at)
            return torch.cat([losses, states.to(losses.dtype).flatten()])

        losses: list[Floats] = [np.empty(0)] * len(sequences)
        hidden = np.empty((len(sequences), self.width))
        for indices, values in self._batches(sequences, positions, extract):
            bounds = np.cumsum([len(sequences[i]) - 1 for i in indices])
            *parts, states = np.split(values, bounds)
            hidden[indices] = states.reshape(len(indices), self.width)
            for i, part in zip(indices, parts, strict=True):
                losses[i] = part
        return losses, hidden

    def next_logits(self, sequences: Sequences, token_ids: Sequence[int]) -> Floats:
        """Return the (n, k) logits of k tokens after each of n sequences.

        Args:
            sequences: n sequences of token ids, none empty.
            token_ids: The k tokens.

        Raises:
            LearnAlignError: if a single sequence does not fit in a CUDA device's memory.
        """
        selected = torch.tensor(token_ids, device=self.device)

        def extract(output: Any, batch: Sequences, at: list[int]) -> torch.Tensor:
            states = self._states(output, at)
            step = max(1, CHUNK_VALUES // self.vocabulary)
            chunks = torch.split(states, step)
            return torch.cat([self.head.logits(output, chunk)[:, selected] for chunk in chunks])

        logits = np.empty((len(sequences), len(token_ids)))
        last = [len(s) - 1 for s in sequences]
        for indices, values in self._batches(sequences, last, extract):
            logits[indices] = values
        return logits

    @torch.no_grad()
    def _batches(
        self,
        sequences: Sequences,
        positions: Sequence[int],
        extract: Callable[[Any, Sequences, list[int]], torch.Tensor],
    ) -> Iterator[tuple[list[int], Floats]]:
        """Run all batches; yield the sequences' indices and the values from ``extract``."""
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        while order:
            width = len(sequences[order[0]])
            indices = order[: max(1, self.token_budget // width)]
            batch = [sequences[i] for i in indices]
            try:
                output = self._layers(batch, width)
                extracted = extract(output, batch, [positions[i] for i in indices])
                values = extracted.cpu().double().numpy()  # the only wait for the device
            except torch.OutOfMemoryError as error:
                if len(indices) == 1:
                    raise LearnAlignError(
                        f"memory ran out on a single text ({width} tokens)",
                        expected="memory for its forward pass",
                        do="use a device with more memory, or leave such long problems out",
                    ) from error
                self.token_budget = len(indices) * width // 2
                continue
            yield indices, values
            order = order[len(indices) :]

    def _layers(self, batch: Sequences, width: int) -> Any:
        """Run the layers; attention is causal, so padding on the right needs no mask."""
        inputs = torch.zeros(len(batch), width, dtype=torch.long)
        for row, ids in enumerate(batch):
            inputs[row, : len(ids)] = torch.tensor(ids)
        return self.head.base(input_ids=inputs.to(self.device), use_cache=False)

    def _states(self, output: Any, positions: list[int]) -> torch.Tensor:
        """Return the (B, H) hidden states at one position of each row."""
        columns = torch.tensor(positions, device=self.device)
        rows = torch.arange(len(positions), device=self.device)
        states: torch.Tensor = output.last_hidden_state[rows, columns]
        return states

    def _losses(self, output: Any, batch: Sequences) -> torch.Tensor:
        """Return the losses of a batch's tokens except each row's first, row by row."""
        hidden = output.last_hidden_state
        width = hidden.shape[1]
        hidden = hidden.flatten(0, 1)
        flat = [row * width + t for row, ids in enumerate(batch) for t in range(len(ids) - 1)]
        before = torch.tensor(flat, dtype=torch.long, device=self.device)
        following = [token for ids in batch for token in ids[1:]]
        targets = torch.tensor(following, dtype=torch.long, device=self.device)
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        losses = torch.empty(len(targets), dtype=wide, device=self.device)
        step = max(1, CHUNK_VALUES // self.vocabulary)
        for start in range(0, len(targets), step):
            chunk = slice(start, start + step)
            logits = self.head.logits(output, hidden[before[chunk]]).to(wide)
            losses[chunk] = nn.functional.cross_entropy(logits, targets[chunk], reduction="none")
        return losses
