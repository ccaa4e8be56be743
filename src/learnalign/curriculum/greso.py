"""GRESO (arXiv 2506.02177): problems that had no signal lately are skipped before their rollouts.

Problems come in passes. One whose latest z outcomes were all easy, or all hard, is skipped
in this pass with the chance

    1 - max(e^z, 0.01)

where e is the exploration rate of its kind. Groups without a signal are dropped and refilled, as in
`Dynamic`. After each step of the second and later passes an exploration rate falls by 0.01 if the
share of its kind among all groups sampled in the step has reached its target, and rises by 0.01
otherwise, within 0.05 to 0.95.

From the authors' code (Infini-AI-Lab/GRESO): easy is a mean reward of at least 0.98 and hard of at
most 0.11 (there 8 rollouts, and 0.1 for the format alone); both rates begin at 0.5; the targets are
a third and two thirds of 0.25. Different here: a group with a signal is neither easy nor hard,
whatever its mean, so that one success in 16 rollouts is not hard; the share of hard groups counts
mean rewards of at most 0.11, where the code counts groups with the format reward alone; the caller
decides how many groups to draw again; and no problem appears twice in a step that spans two passes.
"""

from typing import Any

import numpy as np

from learnalign.curriculum.base import Booleans, Floats, Indices
from learnalign.curriculum.checks import require_number, require_shares
from learnalign.curriculum.order import Order
from learnalign.errors import LearnAlignError

_STEP, _LOWEST, _HIGHEST, _FLOOR = 0.01, 0.05, 0.95, 0.01
_EASY, _HARD = 0, 1


class GRESO(Order):
    """Passes that skip problems without a recent signal, and drop groups without one.

    Args:
        num_problems: n, at least 1.
        seed: Seed of shuffling and skipping.
        shuffled: Whether to shuffle each pass; otherwise the order of the file.
        easy_from: Mean reward from which an outcome without a signal is easy.
        hard_to: Mean reward up to which one is hard, below ``easy_from``.
        exploration: Initial exploration rates of easy and hard problems, from 0 to 1.
        targets: Target shares of easy and hard groups, from 0 to 1.
    """

    name = "greso"
    drops = True

    def __init__(
        self,
        num_problems: int,
        *,
        seed: int = 0,
        shuffled: bool = True,
        easy_from: float = 0.98,
        hard_to: float = 0.11,
        exploration: tuple[float, float] = (0.5, 0.5),
        targets: tuple[float, float] = (0.25 / 3, 0.5 / 3),
    ) -> None:
        super().__init__(num_problems, seed=seed, shuffled=shuffled)
        self.easy_from = require_number("easy_from", easy_from, at_most=1.0)
        self.hard_to = require_number("hard_to", hard_to, at_most=1.0)
        if self.hard_to >= self.easy_from:
            raise LearnAlignError(
                f"got hard_to = {hard_to} and easy_from = {easy_from}",
                expected="hard_to below easy_from, so that no outcome is both",
                do="correct one of them",
            )
        self.targets = require_shares("targets", targets)
        #: Rates of easy and hard problems, which move.
        self.exploration = list(require_shares("exploration", exploration))
        self._first_exploration = list(self.exploration)
        #: (2, n) length of the latest run of easy and of hard outcomes.
        self.runs = np.zeros((2, self.num_problems), dtype=np.int64)
        self._seen = [0, 0]

    def metrics(self) -> dict[str, float]:
        """Add the two exploration rates."""
        easy, hard = self.exploration
        return super().metrics() | {"explore_easy": easy, "explore_hard": hard}

    def skip_chances(self) -> Floats:
        """Return (n,) chances that a problem is skipped when it comes up."""
        rates = np.array(self.exploration)[:, None]
        chances: Floats = 1.0 - np.maximum(rates**self.runs, _FLOOR)
        highest: Floats = chances.max(0)  # at most one of the two runs is above 0
        return highest

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        chances = self.skip_chances()
        return self.passes.take(
            count, excluded, lambda places: self.rng.random(len(places)) < chances[places]
        )

    def _update(
        self, indices: Indices, successes: Floats, num_rollouts: Floats, has_signal: Booleans
    ) -> None:
        known = num_rollouts > 0
        places, means = indices[known], successes[known] / num_rollouts[known]
        easy, hard = means >= self.easy_from, means <= self.hard_to
        for kind, reached in ((_EASY, easy), (_HARD, hard)):
            outcome = reached & ~has_signal[known]
            self.runs[kind, places] = np.where(outcome, self.runs[kind, places] + 1, 0)
            self._seen[kind] += int(outcome.sum())

    def _end_step(self) -> None:
        for kind in (_EASY, _HARD):
            reached = self._seen[kind] / self._groups >= self.targets[kind]
            if self.passes.begun > 1:
                moved = self.exploration[kind] + (-_STEP if reached else _STEP)
                self.exploration[kind] = min(max(moved, _LOWEST), _HIGHEST)
            self._seen[kind] = 0

    def _options(self) -> dict[str, Any]:
        mine = {"easy_from": self.easy_from, "hard_to": self.hard_to, "targets": [*self.targets]}
        return super()._options() | mine | {"exploration": [*self._first_exploration]}

    def _state(self) -> dict[str, Any]:
        mine = {"exploration": list(self.exploration), "runs": self.runs.tolist()}
        return super()._state() | mine | {"seen": list(self._seen)}

    def _load_state(self, state: dict[str, Any]) -> None:
        super()._load_state(state)
        self.exploration, self._seen = list(state["exploration"]), list(state["seen"])
        self.runs = np.array(state["runs"], dtype=np.int64)
