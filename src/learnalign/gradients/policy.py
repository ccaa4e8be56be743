"""Sketched policy gradients of many problems: packing, backward pass, collecting, sketching."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnalign.config import GradientConfig
from learnalign.gradients.backward import Backward
from learnalign.gradients.collector import Collector
from learnalign.gradients.device import HostCopy
from learnalign.gradients.layout import lay_out
from learnalign.gradients.memory import enough, find_budget, is_out_of_memory, too_large
from learnalign.gradients.parameters import select_weights
from learnalign.gradients.preconditioning import read_factors
from learnalign.gradients.probe import probe
from learnalign.gradients.sketch import Sketch
from learnalign.gradients.tasks import GradientTask, KLTerm, group_tasks, make_task

#: A problem's prompt, its responses, the weight of each response's tokens, and the KL term if any.
Problem = (
    tuple[Sequence[int], Sequence[Sequence[int]], Sequence[float]]
    | tuple[Sequence[int], Sequence[Sequence[int]], Sequence[float], KLTerm | None]
)


@dataclass(frozen=True)
class Row:
    """One problem's gradient."""

    norm: float
    """Its Euclidean norm: exact if inputs are not projected, else an unbiased estimate."""
    sketch: NDArray[np.float16]
    """(d,) sketch of the gradient divided by its norm; meaningless unless the norm is positive."""


class PolicyGradients:
    """Computes ``sum_r w_r sum_t grad log pi(o_{r,t})`` of problems, one sketched row each.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        config: Which weights to differentiate, and how to project and store their gradients.
        temperature: Divides the logits.
        seed: Seed of the projections, the sketch and a new LoRA adapter.
    """

    def __init__(self, model: Any, config: GradientConfig, *, temperature: float, seed: int):
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        weights = select_weights(model, config.parameters, lora_rank=config.lora_rank, seed=seed)
        first = weights[0].parameter
        self.device = first.device
        self.dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        self.backward = Backward(model, temperature=temperature, kernel=config.attention)
        probed = probe(self.backward, weights)
        self.shared = probed.shared
        moments = config.preconditioner
        self.collector = Collector(
            probed.weights,
            model,
            input_width=config.input_width,
            seed=seed,
            dtype=self.dtype,
            factors=None if moments is None else read_factors(moments, probed.weights),
        )
        sizes = self.collector.sizes
        self.offsets = [0, *accumulate(sizes)][:-1]
        self.sketch = Sketch(
            sum(sizes), config.sketch_size, seed=seed, device=self.device, dtype=self.dtype
        )
        self.budget = config.token_budget or find_budget(self.device, probed.bytes_per_token)
        self.enough = config.token_budget or enough(self.device, first.dtype)
        self.checkpointed = False

    def __call__(
        self, problems: Sequence[Problem], *, done: Callable[[int], None] | None = None
    ) -> list[Row]:
        """Compute the problems' rows.

        Args:
            problems: In any order; each needs a response with a weight.
            done: Called with a problem's index when its row is computed.

        Returns:
            The problems' rows, in the same order.

        Raises:
            LearnAlignError: if memory runs out on a single response.
        """
        items = [make_task(index, *problem) for index, problem in enumerate(problems)]
        rows: dict[int, Row] = {}
        waiting: deque[tuple[list[GradientTask], HostCopy]] = deque()

        def take() -> None:
            pack, copy = waiting.popleft()
            for item, norm, sketch in zip(pack, *copy.wait(), strict=True):
                rows[item.key] = Row(float(norm), sketch)
                if done is not None:
                    done(item.key)

        for pack, values, squares in self._packs(items):
            norms = squares.sqrt()
            sketches = (self.sketch.finish(values) / norms[:, None]).to(torch.float16)
            waiting.append((pack, HostCopy(norms, sketches)))
            # The next batch is queued before this one's rows are waited for.
            while len(waiting) > 1 or (waiting and waiting[0][1].on_host):
                take()
        while waiting:
            take()
        empty = Row(0.0, np.zeros(self.sketch.size, np.float16))
        return [rows.get(index, empty) for index in range(len(items))]

    def exact(
        self,
        prompt: Sequence[int],
        responses: Sequence[Sequence[int]],
        weights: Sequence[float],
        kl_term: KLTerm | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute one problem's full gradient, without projection, by parameter name."""
        gradients = {
            w.name: torch.zeros(w.parameter.shape, dtype=self.dtype, device=self.device)
            for w in self.collector.weights
        }

        def sink(index: int, _item: int, values: torch.Tensor) -> None:
            weight = self.collector.weights[index]
            values = values.T if weight.transposed else values
            gradients[weight.name] += values.reshape(weight.parameter.shape)

        self.collector.exact = True
        try:
            item = make_task(0, prompt, responses, weights, kl_term)
            for pack in self._grouped([item]):
                self._run(pack, sink)
        finally:
            self.collector.exact = False
        return gradients

    def _packs(self, items: list[GradientTask]) -> Any:
        """Run all packs; yield (items, folded rows, squared norms) of complete items."""
        self._fit(items)
        queue = self._grouped(items)
        while queue:
            pack = queue[0]
            values = self.sketch.empty(len(pack))
            squares = torch.zeros(len(pack), dtype=self.dtype, device=self.device)
            try:
                self._run(pack, self._folding(values, squares))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(pack)
                queue = [pack for old in queue for pack in self._grouped(old)]
                continue
            queue.pop(0)
            if pack[-1].last:
                yield pack, values, squares

    def _grouped(self, items: list[GradientTask]) -> list[list[GradientTask]]:
        return group_tasks(
            [item for item in items if item.responses],
            self.budget,
            enough=min(self.budget, self.enough),
            shared=self.shared,
            alone=self.collector.num_by_autograd > 0,
        )

    def _folding(self, rows: torch.Tensor, squares: torch.Tensor) -> Any:
        scales = self.collector.scales

        def sink(index: int, item: int, values: torch.Tensor) -> None:
            values = values.to(self.dtype).reshape(-1)
            self.sketch.add(rows[item], values, self.offsets[index], scale=scales[index])
            squares[item] += values.dot(values) * scales[index] ** 2

        return sink

    def _run(self, items: list[GradientTask], sink: Any) -> None:
        pack = lay_out(items, shared=self.shared, device=self.device, dtype=self.dtype)
        with self.collector.collecting(pack, sink):
            self.backward(pack)

    def _fit(self, items: list[GradientTask]) -> None:
        """Enable checkpointing if a single response is longer than the budget."""
        if max((item.longest for item in items if item.responses), default=0) > self.budget:
            self.checkpointed = self.checkpointed or self.backward.checkpoint()

    def _shrink(self, pack: list[GradientTask]) -> None:
        """Make the next packs smaller after one that did not fit in memory."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        tokens = sum(item.num_tokens for item in pack)
        if len(pack) > 1 or len(pack[0].responses) > 1:
            self.budget = max(1, min(self.budget, tokens) // 2)
        elif not self.checkpointed and self.backward.checkpoint():
            self.checkpointed = True
        else:
            raise too_large(tokens)
