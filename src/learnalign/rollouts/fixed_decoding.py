"""Decodes a batch with fixed shapes, for CUDA graphs; the host looks at it every few tokens.

The number of rows and the length of the cache take few values (`bucket`), so that few graphs are
captured: rows that have finished are dropped when fewer rows of the next size are left, and the
cache grows to the next length when it is full. Everything else that differs between steps (tokens,
positions, random numbers) is in tensors that keep their addresses.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnalign.rollouts import fixed_attention
from learnalign.rollouts.fixed_cache import FixedStore, is_plain
from learnalign.rollouts.fixed_step import STEPS, Shape, StepTensors, step
from learnalign.rollouts.graphs import CaptureError, GraphRunner
from learnalign.rollouts.growing import Growing
from learnalign.rollouts.sampling import sample_tokens

_LEAST_ROWS, _ROWS_PER_DOUBLING = 4, 2
_LEAST_LENGTH, _LENGTHS_PER_DOUBLING = 256, 4
#: Rotary embeddings whose frequencies depend on the longest position, which the host then reads.
_READING_ROPES = ("dynamic", "longrope")


@dataclass(frozen=True)
class Prompts:
    """A batch's prompts after the model has run them."""

    cache: Any  # of P rows and W tokens
    mask: torch.Tensor  # (P, W) int64, 0 where a prompt is padded on the left
    logits: torch.Tensor  # (P, V) for the first token of the response


@dataclass(frozen=True)
class Sampling:
    """How a batch is sampled."""

    temperature: float
    top_p: float
    context: int  # longest prompt and response the model can take


class FixedDecoder:
    """Decodes batches with one model.

    Args:
        model: A causal language model of transformers; see `can_decode`.
        capture: Whether to capture CUDA graphs.
    """

    def __init__(self, model: Any, *, capture: bool) -> None:
        self.model, self.runner = model, GraphRunner(capture=capture)
        self.device = next(model.parameters()).device
        self.store: FixedStore | None = None
        self.tensors: StepTensors | None = None
        self._expected = (0, 0)
        self._addresses: list[int] = []

    def expect(self, batches: Sequence[tuple[int, int]]) -> None:
        """Announce batches of (rows, longest prompt and response): memory is taken once for all."""
        rows = max(bucket(r, _LEAST_ROWS, _ROWS_PER_DOUBLING) for r, _ in batches)
        capacity = max(
            bucket(r, _LEAST_ROWS, _ROWS_PER_DOUBLING)
            * bucket(t, _LEAST_LENGTH, _LENGTHS_PER_DOUBLING)
            for r, t in batches
        )
        self._expected = (rows, capacity)

    def decode(
        self, prompts: Prompts, growing: Growing, random: NDArray[np.float64], sampling: Sampling
    ) -> None:
        """Sample the responses of a batch.

        Args:
            prompts: P prompts.
            growing: Of P * G rows, those of a prompt adjacent; gets what is sampled.
            random: (P * G, T) uniform numbers.
            sampling: How to sample.

        Raises:
            CaptureError: if the model cannot do this, or the memory does not suffice; ``growing``
                is then of no use.
        """
        try:
            with _selected(self.device), fixed_attention.used_by(self.model):
                _Batch(self, prompts, growing, random, sampling).decode()
        except torch.OutOfMemoryError as error:
            raise CaptureError(str(error)) from error

    def prepare(self, prompts: Prompts, rows: int, capacity: int) -> tuple[FixedStore, StepTensors]:
        """Return memory for a batch; graphs of other memory or other weights are dropped.

        In-place changes of the weights are fine, and so are optimizer steps: graphs read them by
        address. Weights that were moved or replaced are noticed by their addresses. A change of
        what the modules do (merging an adapter) is not: close the engine after one.
        """
        addresses = [tensor.data_ptr() for tensor in self.model.parameters()]
        addresses += [tensor.data_ptr() for tensor in self.model.buffers()]
        if addresses != self._addresses:
            self.release()
            self._addresses = addresses
        rows, capacity = max(rows, self._expected[0]), max(capacity, self._expected[1])
        if self.store is None or self.store.capacity < capacity:
            self.runner.release()
            self.store = None  # before the new one is allocated
            self.store = FixedStore(prompts.cache, capacity)
        if self.tensors is None or len(self.tensors.token) < rows:
            self.runner.release()
            self.tensors = StepTensors(rows, self.device)
        return self.store, self.tensors

    def release(self) -> None:
        """Free graphs and memory."""
        self.runner.release()
        self.store = self.tensors = None


class _Batch:
    """One batch while it is decoded."""

    def __init__(
        self,
        decoder: FixedDecoder,
        prompts: Prompts,
        growing: Growing,
        random: NDArray[np.float64],
        sampling: Sampling,
    ) -> None:
        self.decoder, self.growing, self.sampling = decoder, growing, sampling
        self.num_rows, self.max_tokens = random.shape
        self.rows = bucket(self.num_rows, _LEAST_ROWS, _ROWS_PER_DOUBLING)
        self.place = prompts.mask.shape[1]
        self.end = self.place + self.max_tokens
        self.length = self._length(self.place + STEPS)
        longest = bucket(self.end, _LEAST_LENGTH, _LENGTHS_PER_DOUBLING)
        self.store, self.tensors = decoder.prepare(prompts, self.rows, self.rows * longest)
        #: Which of the batch's rows each row is; rows that only fill up the shape come last.
        self.alive = np.arange(self.rows)
        self.random = np.zeros((self.rows, self.max_tokens))
        self.random[: self.num_rows] = random
        self._begin(prompts)

    def decode(self) -> None:
        """Sample until all rows have finished."""
        begin, column = 0, 1  # the prompts' logits gave the first token
        while True:
            end = min(begin + STEPS, self.max_tokens)
            self._run(end - begin - column)
            tokens, logprobs = self._seen(end - begin)
            real = self.alive < self.num_rows
            self.growing.add(self.alive[real], tokens[real], logprobs[real])
            if end == self.max_tokens or self.growing.done.all():
                return
            self._reshape()
            self._upload(end)
            begin, column = end, 0

    def _begin(self, prompts: Prompts) -> None:
        """Fill the cache, and sample the first tokens."""
        device, tensors = self.decoder.device, self.tensors
        group = self.num_rows // len(prompts.mask)
        owners = np.minimum(self.alive, self.num_rows - 1) // group
        index = torch.from_numpy(owners).to(device)
        lengths = prompts.mask.sum(-1).index_select(0, index)
        self.store.fill(prompts.cache, index, self.length)
        self.cache = self.store.cache(self.rows, self.length, tensors.place)
        tensors.position[: self.rows] = lengths
        tensors.start[: self.rows] = self.place - lengths
        tensors.place.fill_(self.place)
        self._upload(0)
        token, logprob = sample_tokens(
            prompts.logits.index_select(0, index),
            tensors.random[: self.rows, 0],
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
        )
        tensors.write(token, logprob)

    def _upload(self, begin: int) -> None:
        """Give the next steps their random numbers."""
        numbers = torch.from_numpy(self.random[self.alive, begin : begin + STEPS])
        rows, count = numbers.shape
        self.tensors.random[:rows, :count].copy_(numbers, non_blocking=True)
        self.tensors.column.zero_()

    def _run(self, times: int) -> None:
        """Make some steps; the host waits for nothing."""
        shape = Shape(
            self.rows,
            self.length,
            self.sampling.temperature,
            self.sampling.top_p,
            self.sampling.context - 1,
        )
        model, tensors, cache, dtype = (
            self.decoder.model,
            self.tensors,
            self.cache,
            self.store.dtype,
        )
        self.decoder.runner.run(shape, lambda: step(model, tensors, cache, dtype, shape), times)
        self.place += times

    def _seen(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Wait for the steps; return the (B, count) tokens and log-probabilities."""
        logprobs = self.tensors.logprobs[: self.rows, :count].cpu().numpy()
        return self.tensors.tokens[: self.rows, :count].cpu().numpy(), logprobs

    def _reshape(self) -> None:
        """Drop finished rows, and give the cache room for the next steps, if that is needed."""
        done = np.append(self.growing.done, True)[np.minimum(self.alive, self.num_rows)]
        rows = bucket(int((~done).sum()), _LEAST_ROWS, _ROWS_PER_DOUBLING)
        length = self._length(self.place + STEPS)
        if rows >= self.rows and length == self.length:
            return
        rows = min(rows, self.rows)
        kept = np.argsort(done, kind="stable")[:rows]  # the unfinished ones, in their order
        index = torch.from_numpy(kept).to(self.decoder.device)
        self.store.move((self.rows, self.length), length, index, self.place)
        self.tensors.keep(index)
        self.alive, self.rows, self.length = self.alive[kept], rows, length
        self.cache = self.store.cache(rows, length, self.tensors.place)

    def _length(self, needed: int) -> int:
        return bucket(min(needed, self.end), _LEAST_LENGTH, _LENGTHS_PER_DOUBLING)


def can_decode(model: Any, cache: Any) -> bool:
    """Say whether a model may be decoded with fixed shapes, as far as its kind tells.

    It must use torch's attention, take a mask for each query, keep plain keys and values, and
    compute nothing that depends on the values of tensors.

    Args:
        model: A causal language model of transformers.
        cache: The cache that it made for some prompts.
    """
    config = model.config.get_text_config()
    weights = list(model.parameters())
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope.get("rope_type")]
    kinds += [part.get("rope_type") for part in rope.values() if isinstance(part, dict)]
    return (
        is_plain(cache)
        and bool(getattr(model, "_can_compile_fullgraph", False))
        and getattr(model.config, "_attn_implementation", None) == "sdpa"
        and model._can_set_attn_implementation()
        and config.model_type != "bloom"  # its attention reads a mask of two dimensions
        and not getattr(config, "alibi", False)
        and not any(kind in _READING_ROPES for kind in kinds)
        and config is model.config  # no other part, such as one for images
        and all(type(weight.data) is torch.Tensor for weight in weights)  # with an address
        and len({weight.device for weight in weights}) == 1
        and not torch.is_autocast_enabled(weights[0].device.type)
    )


def _selected(device: torch.device) -> AbstractContextManager[Any]:
    """Make a GPU the current one, whose streams are used."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def bucket(count: int, least: int, per_doubling: int) -> int:
    """Round up to one of few sizes: multiples of ``least``, and from there on a few per doubling.

    Example:
        >>> [bucket(n, 4, 2) for n in (1, 5, 9, 13, 33, 50)]
        [4, 8, 12, 16, 48, 64]
        >>> [bucket(n, 256, 4) for n in (1, 300, 1000, 1500, 2049)]
        [256, 512, 1024, 1536, 2560]
    """
    doubling = 1 << (max(count, 1) - 1).bit_length() >> 1
    size = max(least, doubling // per_doubling)
    return -(-max(count, 1) // size) * size
