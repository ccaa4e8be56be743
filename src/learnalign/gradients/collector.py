"""Weight gradients read off while a backward pass runs, one a problem, without autograd's own.

A linear layer's gradient on a problem's tokens is ``sum_t g_t a_t^T``: the gradients at its outputs
times its inputs. Both pass by in hooks, where the tokens of a packed row are told apart by problem.
The inputs are first projected from their ``n`` values to ``input_width`` random combinations of
them (signs, unbiased for inner products), so what is kept from the forward pass, and the product
itself, are small; with ``input_width`` 0 the whole gradient is formed. Why the inputs and not the
outputs: the inputs of all problems share a few huge directions, which a projection of the outputs
would turn into noise of their size; see docs/concepts/gradients.md.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from learnalign.gradients.layout import Pack
from learnalign.gradients.parameters import Weight
from learnalign.gradients.preconditioning import Factors

#: Called with the index of a weight, the item of the pack, and (outputs, width) values.
Sink = Callable[[int, int, torch.Tensor], None]


class Collector:
    """Watches a model's chosen weights.

    Args:
        weights: From `select_weights`; all other parameters stop requiring gradients.
        model: The model they belong to.
        input_width: Combinations of a layer's inputs that are kept; 0 for all of them. Layers with
            no more inputs than that, and weights that autograd has to form, are taken whole.
        seed: Of the projections.
        dtype: In which gradients add up: float32, or float64 for a float64 model.
        factors: For each weight what its output gradients and its inputs are multiplied by
            (`preconditioning.read_factors`); None leaves them as they are.
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
        self.num_formed = sum(weight.module is None for weight in weights)
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
                    partial(self._formed, index)
                )
            else:
                weight.module.register_forward_hook(partial(self._forward, index))

    @property
    def sizes(self) -> list[int]:
        """Values each weight contributes to a problem's gradient, once projected."""
        return [
            weight.shape[0] * (weight.shape[1] if projection is None else projection.shape[1])
            for weight, projection in zip(self.weights, self.projections, strict=True)
        ]

    @property
    def scales(self) -> list[float]:
        """What the values are to be multiplied by, so that inner products are unbiased."""
        return [1.0 if p is None else p.shape[1] ** -0.5 for p in self.projections]

    @contextmanager
    def collecting(self, pack: Pack, sink: Sink) -> Iterator[None]:
        """Send what a backward pass over this pack brings to ``sink``.

        A part of a split item is held back and added to the next part; if the block fails, what was
        held before it is held still, and the block can be run again.
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
            self._emit(index, item, gradient[start:end].T @ inputs[start:end])

    def _formed(self, index: int, parameter: torch.Tensor) -> None:
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
        """Pass values on, or hold them until the layer's other calls or the item's parts are in."""
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
    """Draw the (inputs, width) signs of a layer; None where the layer is taken whole."""
    inputs = weight.shape[1]
    if weight.module is None or width == 0 or inputs <= width:
        return None
    rng = np.random.Generator(np.random.Philox(key=[seed, (index << 32) + inputs]))
    signs = rng.integers(2, size=(inputs, width), dtype=np.int8) * 2 - 1
    parameter = weight.parameter
    return torch.from_numpy(signs).to(device=parameter.device, dtype=parameter.dtype)
