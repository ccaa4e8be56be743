"""Sketches of all settings and exact gradients in one backward pass, for `gradient_sketches.py`."""

from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from learnalign.gradients.backward import Backward
from learnalign.gradients.collector import Collector
from learnalign.gradients.engine import Group
from learnalign.gradients.group_sketches import GroupSketcher, spread_layers
from learnalign.gradients.layout import lay_out
from learnalign.gradients.objective import rollout_weights
from learnalign.gradients.parameters import Weight, select_weights
from learnalign.gradients.tasks import make_task

Floats = NDArray[np.float64]
KINDS = {
    "MLP down": "mlp.down_proj",
    "MLP up": "mlp.up_proj",
    "attention output": "self_attn.o_proj",
}
COUNTS, WIDTHS, SEEDS = (4, 8), (8, 16, 32), (0, 1, 2)


class Setting(NamedTuple):
    """Which layers, and how they are sketched."""

    kind: str
    count: int
    width: int | None
    """None for the exact gradients of the layers."""
    balanced: bool

    @property
    def size(self) -> int | None:
        """Number of values of a sketch."""
        return None if self.width is None else self.count * self.width**2


#: The layers' own scales are compared for exact gradients and for one width.
SETTINGS = [
    Setting(kind, count, width, balanced)
    for kind in KINDS
    for count in COUNTS
    for width, balanced in (
        (None, True), (None, False), (16, False), *((width, True) for width in WIDTHS),
    )
]  # fmt: skip


class Measurement:
    """Collects the sketches and cosines of batches of groups.

    Args:
        model: The policy.
        max_tokens: Maximum length of a response.
    """

    def __init__(self, model: Any, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.layers = {key: _layers(model, *key) for key in dict.fromkeys(s[:2] for s in SETTINGS)}
        self.sketchers = {
            (setting, seed): GroupSketcher(
                self.layers[setting[:2]], width=setting.width, seed=seed, balanced=setting.balanced
            )
            for setting in SETTINGS
            for seed in SEEDS
            if setting.width is not None
        }
        self.weights = list({w.name: w for some in self.layers.values() for w in some}.values())
        self.backward = Backward(model, temperature=1.0)
        self.collector = Collector(self.weights, model, input_width=0, seed=0)
        self.sketches: dict[tuple[Setting, int], list[Floats]] = {key: [] for key in self.sketchers}
        #: (n, n) cosines of each batch.
        self.exact: dict[Setting, list[Floats]] = {s: [] for s in SETTINGS if s.width is None}

    def __call__(self, prompts: list[list[int]], groups: list[Group]) -> None:
        """Add a batch of n groups."""
        tasks = []
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
            weights = rollout_weights(group.rewards, group.lengths, max_tokens=self.max_tokens)
            tasks.append(make_task(index, prompt, group.responses, weights.tolist()))
        pack = lay_out(tasks, shared=True)
        whole = [[torch.zeros(0)] * len(tasks) for _ in self.weights]

        def sink(index: int, item: int, values: torch.Tensor) -> None:
            whole[index][item] = values.flatten()

        with ExitStack() as stack:
            for sketcher in self.sketchers.values():
                sketcher.start(len(tasks))
                stack.enter_context(sketcher.sketching(pack))
            stack.enter_context(self.collector.collecting(pack, sink))
            self.backward(pack)
        for key, sketcher in self.sketchers.items():
            self.sketches[key].append(sketcher.finish(range(len(tasks))).values.astype(float))
        products = {}
        for weight, gradients in zip(self.weights, whole, strict=True):
            stacked = torch.stack(gradients).float()
            products[weight.name] = (stacked @ stacked.T).double().numpy()
        for setting, found in self.exact.items():
            own = [products[weight.name] for weight in self.layers[setting[:2]]]
            if setting.balanced:
                own = [cosines_of(one) for one in own]
            found.append(cosines_of(np.sum(own, axis=0)))


def cosines_of(products: Floats) -> Floats:
    """Divide (n, n) inner products by the norms."""
    norms = np.sqrt(np.diag(products))
    return products / norms[:, None] / norms


def _layers(model: Any, kind: str, count: int) -> list[Weight]:
    """Select the layer of a kind in each block that `spread_layers` selects."""
    named = {weight.name: weight for weight in select_weights(model, "linear")}
    blocks = [weight.name.split(".mlp.")[0] for weight in spread_layers(model, count)]
    return [named[f"{block}.{KINDS[kind]}.weight"] for block in blocks]
