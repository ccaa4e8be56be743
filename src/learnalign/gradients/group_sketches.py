"""Sketches of each problem's gradient at a few layers, left behind by a training's backward pass.

A linear layer's gradient on a problem's tokens is ``sum_t g_t a_t^T``: the gradients at its outputs
times its inputs. Hooks receive both, project each to ``width`` random combinations (signs), and sum
the outer products over the tokens of each problem::

    S = sum_t (P g_t) (Q a_t)^T / width        of (width, width), from P (width, outputs)
                                               and Q (width, inputs)

which is the projected gradient ``P G Q^T / width``; inner products of blocks estimate those of the
layer's gradients without bias. A problem's sketch is the blocks of all layers. Parameters may
require gradients or not: autograd's own work is neither used nor changed.

The layers' gradients differ in size by an order of magnitude, and the largest come from single huge
activations, which a projection turns into noise of that size. So the blocks of a problem are scaled
to the same norm: the cosine of two sketches is the mean of the layers' cosines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from learnalign.errors import LearnAlignError
from learnalign.gradients.collector import random_signs
from learnalign.gradients.layout import Pack
from learnalign.gradients.parameters import Weight, select_weights

#: Random combinations of a layer's inputs, and of its outputs, in a sketch.
WIDTH = 16


class GroupSketches(NamedTuple):
    """The sketches of a step's groups."""

    groups: NDArray[np.int64]
    """(k,) indices of the groups that had a gradient, ascending."""
    values: NDArray[np.float32]
    """(k, d) their sketches."""


class GroupSketcher:
    """Sketches the gradient of every problem in a batch.

    Args:
        weights: Weights of linear layers, such as `spread_layers` selects; the layers get hooks.
        width: Number of random combinations of a layer's inputs, and of its outputs.
        seed: Seed of the combinations.
        balanced: Whether a problem's blocks are scaled to the same norm, which keeps that of the
            sketch; otherwise sketches are linear in the gradients.

    Example:
        >>> from learnalign.gradients.layout import lay_out
        >>> from learnalign.gradients.tasks import make_task
        >>> layer = nn.Linear(3, 2, bias=False)
        >>> sketcher = GroupSketcher([Weight("weight", layer.weight, layer)], width=4)
        >>> sketcher.start(2)
        >>> tasks = [make_task(1, [5], [[7, 8]], [1.0]), make_task(0, [5, 6], [[9]], [1.0])]
        >>> with sketcher.sketching(lay_out(tasks, shared=True)):
        ...     layer(torch.ones(4, 3)).sum().backward()
        >>> sketcher.finish([0, 1]).values.shape
        (2, 16)
    """

    def __init__(
        self, weights: Sequence[Weight], *, width: int = WIDTH, seed: int = 0, balanced: bool = True
    ) -> None:
        self.weights, self.width, self.balanced = list(weights), width, balanced
        #: (outputs, width) and (inputs, width) signs of each layer, P and Q transposed.
        self.projections = [
            (
                random_signs(weight.shape[0], width, weight.parameter, seed, 2 * index),
                random_signs(weight.shape[1], width, weight.parameter, seed, 2 * index + 1),
            )
            for index, weight in enumerate(self.weights)
        ]
        self._pack: Pack | None = None
        self._sums: torch.Tensor | None = None
        for index, weight in enumerate(self.weights):
            assert weight.module is not None
            weight.module.register_forward_hook(partial(self._forward, index))

    @property
    def size(self) -> int:
        """Number of values of a sketch, d."""
        return len(self.weights) * self.width**2

    def start(self, num_groups: int) -> None:
        """Begin a batch; what was summed before is discarded."""
        # The model may have got another dtype since.
        self.projections = [
            (left.to(weight.parameter), right.to(weight.parameter))
            for weight, (left, right) in zip(self.weights, self.projections, strict=True)
        ]
        first = self.weights[0].parameter
        self._sums = torch.zeros(
            num_groups,
            len(self.weights),
            self.width,
            self.width,
            dtype=torch.float64 if first.dtype == torch.float64 else torch.float32,
            device=first.device,
        )

    @contextmanager
    def sketching(self, pack: Pack) -> Iterator[None]:
        """Sum over the backward pass of this pack, whose items are keyed by group."""
        self._pack = pack
        try:
            yield
        finally:
            self._pack = None

    def finish(self, groups: Sequence[int]) -> GroupSketches:
        """Copy the sketches of some groups to the host, in one transfer."""
        assert self._sums is not None
        blocks = self._sums.flatten(2) / self.width
        if self.balanced:
            norms = blocks.norm(dim=2, keepdim=True)
            mean = norms.square().mean(dim=1, keepdim=True).sqrt()
            blocks = blocks * (mean / norms).nan_to_num(posinf=0.0)
        index = np.array(groups, dtype=np.int64)
        return GroupSketches(index, blocks.flatten(1).float().cpu().numpy()[index])

    def _forward(self, index: int, _module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        # A checkpointed layer runs without a graph first; it is run again before its backward pass.
        if self._pack is None or not output.requires_grad:
            return
        values = self._project(inputs[0].detach(), self.projections[index][1])
        output.register_hook(partial(self._backward, index, values))  # type: ignore[no-untyped-call]

    def _backward(self, index: int, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
        assert self._pack is not None
        assert self._sums is not None
        values = self._project(gradient, self.projections[index][0])
        for item, (start, end) in zip(self._pack.items, self._pack.bounds, strict=True):
            self._sums[item.key, index] += values[start:end].T @ inputs[start:end]

    def _project(self, values: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        """Project (..., n) values of the tokens to (tokens, width), in the sums' dtype."""
        assert self._sums is not None
        return (values.reshape(-1, values.shape[-1]) @ signs).to(self._sums.dtype)


def spread_layers(model: nn.Module, count: int = 4, *, width: int = WIDTH) -> list[Weight]:
    """Select the last linear layer of some blocks, evenly spread over the depth.

    In most models that is the projection that ends the block's MLP. The layers of experts are
    not selected, since most tokens do not pass through them, nor those that are smaller than a
    sketch, such as routers and gates. What is left of a block of experts is the projection that
    ends a shared expert (Qwen2-MoE, DeepSeek), or else the attention's output (Mixtral, Qwen3-MoE).

    Args:
        model: A causal language model of transformers, with or without an adapter.
        count: Number of layers; all blocks are used if there are fewer.
        width: The sketches' width; layers with fewer inputs or outputs are left out.

    Raises:
        LearnAlignError: if no block has such a layer, or the layers are quantised.
    """
    last: dict[str, Weight] = {}
    for weight in select_weights(model, "linear"):
        parts = weight.name.split(".")
        numbers = [place for place, part in enumerate(parts) if part.isdigit()]
        large = min(weight.shape) >= width
        if weight.module is not None and len(numbers) == 1 and large:
            last[".".join(parts[: numbers[0] + 1])] = weight
    if not last:
        raise LearnAlignError(
            f"found no block with a linear layer of at least {width} inputs and outputs in a "
            f"{type(model).__name__}",
            expected="a model of numbered blocks, such as model.layers.0",
            do="use --set training.curriculum_options.gradients=false, or another curriculum",
        )
    blocks, number = list(last.values()), min(count, len(last))
    return [blocks[(2 * k + 1) * len(blocks) // (2 * number)] for k in range(number)]
