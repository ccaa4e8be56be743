"""Whole passes over the problems, whatever is observed: what a trainer does without a curriculum.

Batch t is the next ``count`` problems of concatenated passes; each pass is shuffled, or in the
order of the file.
"""

from typing import Any

from learnalign.curriculum.base import Booleans, Curriculum, Indices
from learnalign.curriculum.checks import require_switch
from learnalign.curriculum.passes import Passes


class Order(Curriculum):
    """Whole passes; equal to `learnalign.training.order.step_problems` at a constant batch size.

    Args:
        num_problems: n, at least 1.
        seed: Seed of the shuffling.
        shuffled: Whether to shuffle each pass; otherwise the order of the file.

    Example:
        >>> curriculum = Order(5, shuffled=False)
        >>> [curriculum.next_batch(2).tolist() for _ in range(3)]
        [[0, 1], [2, 3], [4, 0]]
    """

    name = "order"

    def __init__(self, num_problems: int, *, seed: int = 0, shuffled: bool = True) -> None:
        super().__init__(num_problems, seed=seed)
        shuffled = require_switch("shuffled", shuffled)
        self.passes = Passes(self.num_problems, shuffled=shuffled, seed=self.seed)

    def metrics(self) -> dict[str, float]:
        """Add ``passes``, the passes begun."""
        return super().metrics() | {"passes": float(self.passes.begun)}

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        return self.passes.take(count, excluded)

    def _options(self) -> dict[str, Any]:
        return {"shuffled": self.passes.shuffled}

    def _state(self) -> dict[str, Any]:
        return self.passes.state()

    def _load_state(self, state: dict[str, Any]) -> None:
        self.passes.load(state)
