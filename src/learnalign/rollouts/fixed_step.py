"""One decoding step of fixed shapes: everything it reads and writes keeps its size and address."""

from dataclasses import dataclass
from typing import Any

import torch

from learnalign.rollouts.sampling import sample_tokens

#: Steps between two looks of the host at what was sampled.
STEPS = 8


@dataclass(frozen=True)
class Shape:
    """What a step depends on besides the contents of its tensors: another needs another graph."""

    rows: int
    length: int  # of the cache
    temperature: float
    top_p: float
    last_position: int  # of the model's context


class StepTensors:
    """What steps read and write, for up to R rows.

    Args:
        rows: R.
        device: Of the model.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.long) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.token = zeros(rows)  # the last one of each row
        self.position = zeros(rows)  # of that token in its text
        self.start = zeros(rows)  # place in the cache where the row's prompt begins
        self.place = zeros(1)  # in the cache, of the last token
        self.column = zeros(1)  # of the next token, in the three that follow
        self.random = zeros(rows, STEPS, dtype=torch.float64)
        self.tokens = zeros(rows, STEPS)
        self.logprobs = zeros(rows, STEPS, dtype=torch.float32)

    def keep(self, index: torch.Tensor) -> None:
        """Move the rows that are in ``index`` (B,) to the front."""
        for tensor in (self.token, self.position, self.start):
            tensor[: len(index)] = tensor.index_select(0, index)

    def write(self, token: torch.Tensor, logprob: torch.Tensor) -> None:
        """Write each row's next token, (B,), and its log-probability."""
        rows = len(token)
        self.token[:rows] = token
        self.tokens[:rows].index_copy_(1, self.column, token[:, None])
        self.logprobs[:rows].index_copy_(1, self.column, logprob[:, None])
        self.column += 1


def step(model: Any, tensors: StepTensors, cache: Any, dtype: torch.dtype, shape: Shape) -> None:
    """Run the last token of each row through the model, and sample the next.

    Nothing here may depend on a tensor's contents on the host, nor may a tensor that outlives the
    step be replaced: a CUDA graph repeats the same kernels on the same addresses.

    Args:
        model: A causal language model that uses `fixed_attention`.
        tensors: Read and advanced in place.
        cache: Of ``shape.rows`` rows and ``shape.length`` tokens.
        dtype: Of the cache.
        shape: The shape, and how to sample.
    """
    rows = shape.rows
    places = torch.arange(shape.length, device=tensors.place.device)
    hidden = (places < tensors.start[:rows, None]) | (places > tensors.place)
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    mask.masked_fill_(hidden, float("-inf"))
    output = model(
        input_ids=tensors.token[:rows, None],
        attention_mask=mask[:, None, None],
        position_ids=tensors.position[:rows, None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    token, logprob = sample_tokens(
        output.logits[:, -1],
        tensors.random[:rows].index_select(1, tensors.column)[:, 0],
        temperature=shape.temperature,
        top_p=shape.top_p,
    )
    tensors.write(token, logprob)
    tensors.place += 1
    # A row that has reached the end of the context may be carried along for some more steps.
    tensors.position[:rows] = (tensors.position[:rows] + 1).clamp(max=shape.last_position)
