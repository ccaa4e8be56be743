"""Collect weight gradients per problem during one backward pass, without autograd's own.

A linear layer's gradient on a problem's tokens is ``sum_t g_t a_t^T``: the gradients at its outputs
times its inputs. Hooks receive both, and split the tokens of a packed row by problem. The inputs
are first projected from their ``n`` values to ``input_width`` random combinations (signs, unbiased
for inner products), so that the saved inputs and the product are small; with ``input_width`` 0 the
full gradient is computed. The inputs are projected rather than the outputs because the inputs of
all problems share a few huge directions, which a projection of the outputs would turn into noise of
that size; see docs/concepts/gradients.md.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from learnalign.gradients.device import outer_sum
from learnalign.gradients.layout import Pack
from learnalign.gradients.parameters import Weight
from learnalign.gradients.preconditioning import Factors

#: Called with the index of a weight, the item of the pack, and (outputs, width) values.
Sink = Callable[[int, int, torch.Tensor], None]


class Collector:
    """Collects the gradients of a model's selected weights with hooks.

    Args:
        weights: From `select_weights`; all other parameters stop requiring gradients.
        model: The model they belong to.
        input_width: Number of random combinations of a layer's inputs; 0 disables the projection.
            Layers with no more inputs than that, and weights whose gradient autograd computes, are
            not projected.
        seed: Seed of the projections.
        dtype: dtype in which gradients are summed: float32, or float64 for a float64 model.
        factors: For each weight, the factors of its output gradients and inputs
            (`preconditioning.read_factors`); None for no preconditioning.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        model: nn.Module,
        *,
        input_width: int,
        seed: int,
        dtype: torch.dtype = torch.float32,
        factors: Sequence[Factors] | None = None,
    ) -> None:
        self.factors = factors
        self.weights, self.dtype = list(weights), dtype
        self.projections = [_projection(w, input_width, seed, i) for i, w in enumerate(weights)]
        self.num_by_autograd = sum(weight.module is None for weight in weights)
        self.exact = False
        self._pack: Pack | None = None
        self._sink: Sink | None = None
        self._pending = [0] * len(self.weights)
        self._held: dict[tuple[int, int], torch.Tensor] = {}
        self._next: dict[tuple[int, int], torch.Tensor] = {}
        self._sent: set[tuple[int, int]] = set()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for index, weight in enumerate(self.weights):
            if weight.module is None:
                weight.parameter.requires_grad_(True)
                weight.parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    partial(self._by_autograd, index)
                )
            else:
                weight.module.register_forward_hook(partial(self._forward, index))

    @property
    def sizes(self) -> list[int]:
        """Number of values that each weight contributes to a problem's projected gradient."""
        return [
            weight.shape[0] * (weight.shape[1] if projection is None else projection.shape[1])
            for weight, projection in zip(self.weights, self.projections, strict=True)
        ]

    @property
    def scales(self) -> list[float]:
        """Factors of the values that make inner products unbiased."""
        return [1.0 if p is None else p.shape[1] ** -0.5 for p in self.projections]

    @contextmanager
    def collecting(self, pack: Pack, sink: Sink) -> Iterator[None]:
        """Send the gradients of this pack's backward pass to ``sink``.

        A part of a split item is held back and added to the next part. If the block fails, the
        parts held before it are kept, and the block can be run again.
        """
        self._pack, self._sink, self._next, self._sent = pack, sink, {}, set()
        self._pending = [0] * len(self.weights)
        try:
            yield
            kept = {**self._held, **self._next}
            if pack.items[-1].last:
                for key in kept.keys() - self._sent:
                    sink(*key, kept[key])
                kept = {}
            self._held = kept
        finally:
            self._pack = self._sink = None
            self._next = {}

    def _forward(self, index: int, _module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if self._pack is None or not output.requires_grad:
            return
        values = inputs[0].detach().reshape(-1, inputs[0].shape[-1])
        if self.factors is not None:
            values = values * self.factors[index][1].to(values)
        projection = None if self.exact else self.projections[index]
        if projection is not None:
            values = values @ projection.to(values)
        self._pending[index] += 1
        output.register_hook(partial(self._backward, index, values))  # type: ignore[no-untyped-call]

    def _backward(self, index: int, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
        assert self._pack is not None
        self._pending[index] -= 1
        gradient = gradient.reshape(-1, gradient.shape[-1])
        if self.factors is not None:
            gradient = gradient * self.factors[index][0].to(gradient)
        for item, (start, end) in enumerate(self._pack.bounds):
            self._emit(index, item, outer_sum(gradient[start:end], inputs[start:end]))

    def _by_autograd(self, index: int, parameter: torch.Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        if self._pack is None or gradient is None:
            return
        weight = self.weights[index]
        values = gradient.T if weight.transposed else gradient.reshape(weight.shape)
        if self.factors is not None:
            left, right = (factor.to(values) for factor in self.factors[index])
            values = values * left[:, None] * right
        self._emit(index, 0, values)

    def _emit(self, index: int, item: int, values: torch.Tensor) -> None:
        """Send values to the sink, or hold them until the layer or item has more to add."""
        assert self._pack is not None
        assert self._sink is not None
        key = (index, item)
        before = self._next.get(key, self._held.get(key))
        if before is not None:
            values = values.to(self.dtype) + before
        if self._pending[index] == 0 and self._pack.items[item].last:
            self._sent.add(key)
            self._sink(index, item, values)
        else:
            self._next[key] = values.to(self.dtype)


def _projection(weight: Weight, width: int, seed: int, index: int) -> torch.Tensor | None:
    """Sample the (inputs, width) signs of a layer; None if the layer is not projected."""
    inputs = weight.shape[1]
    if weight.module is None or width == 0 or inputs <= width:
        return None
    return random_signs(inputs, width, weight.parameter, seed, index)


def random_signs(size: int, width: int, like: torch.Tensor, seed: int, index: int) -> torch.Tensor:
    """Sample (size, width) signs, the same on every device.

    Args:
        size: Number of values that are combined.
        width: Number of combinations.
        like: A tensor of the signs' device and dtype.
        seed: Seed.
        index: Distinguishes matrices of one seed.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, (index << 32) + size]))
    signs = rng.integers(2, size=(size, width), dtype=np.int8) * 2 - 1
    return torch.from_numpy(signs).to(device=like.device, dtype=like.dtype)
