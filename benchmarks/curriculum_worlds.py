"""Worlds without a model, in which a curriculum can be run.

A world knows every problem's success rate at every step; the rollouts of a group are a binomial
draw of it. `Recorded`, a recorded training, and `Fixed`, a large pool, do not react to what is
trained. `Synthetic` does, by a simple assumption.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness import ROOT
from learnalign.curriculum.base import Booleans, Curriculum, Floats, Indices
from learnalign.curriculum.mapp import proportional
from learnalign.curriculum.step import Outcomes, collect_step
from learnalign.curriculum.text_features import text_features

HISTORY = ROOT.parent / "shared" / "data" / "history"
GROUP, BATCH, MAX_ROUNDS = 8, 64, 10


class World(Protocol):
    """Success rates that change over a training."""

    num_problems: int
    features: NDArray[Any]
    """(n, d) what a curriculum may know of the problems: their words, or their cluster."""

    def rates(self) -> Floats:
        """Return the problems' (n,) success rates now."""

    def train(self, indices: Indices) -> None:
        """Make a step on these groups with a signal."""


class Recorded:
    """Rates between the readings of a recorded training, whatever is trained.

    Args:
        readings: The problems' readings in time order, spread evenly over the steps.
        texts: The problems.
        steps: Steps of the recorded training.
        window: Readings averaged around each; 1 takes them as they are.
    """

    def __init__(
        self, readings: list[list[float]], texts: list[str], steps: int, *, window: int = 1
    ) -> None:
        self.num_problems, self.step = len(readings), 0
        self.features: NDArray[Any] = text_features(texts)
        grid = np.arange(steps + 1) / steps
        self._table = np.array([
            np.interp(grid, np.linspace(0, 1, len(row)), smoothed(row, window)) for row in readings
        ])  # fmt: skip

    def rates(self) -> Floats:
        """Return the (n,) rates at this step."""
        column: Floats = self._table[:, min(self.step, self._table.shape[1] - 1)]
        return column

    def train(self, indices: Indices) -> None:
        """Go to the next step."""
        self.step += 1


def smoothed(row: list[float], window: int) -> Floats:
    """Average each reading with its neighbours, ``window`` in all and fewer at the ends."""
    box = np.ones(window)
    sums: Floats = np.convolve(row, box, mode="same") / np.convolve(np.ones_like(row), box, "same")
    return sums


class Fixed:
    """A large pool before any training: the rates do not change.

    Args:
        rates: (n,) success rates.
        texts: The problems.
    """

    def __init__(self, rates: Floats, texts: list[str]) -> None:
        self.num_problems, self._rates = len(rates), rates
        self.features: NDArray[Any] = text_features(texts)

    def rates(self) -> Floats:
        """Return the (n,) rates."""
        return self._rates

    def train(self, indices: Indices) -> None:
        """Change nothing."""


def load_readings() -> tuple[list[list[float]], list[str]]:
    """Read one-shot RLVR's record: 1,209 problems, Qwen2.5-Math-1.5B."""
    rows = _rows("dsr_sub_history.jsonl.gz")
    return [row["acc_history"] for row in rows], [row["problem"] for row in rows]


def load_large_pool() -> tuple[Floats, list[str]]:
    """Read AdaRFT's 29,446 success rates of Qwen2.5-Math-7B, 128 rollouts each."""
    rows = _rows("adarft_difficulty.jsonl.gz")
    rates = 1 - np.array([row["difficulty"] for row in rows], dtype=float) / 100
    return rates, [row["problem"] for row in rows]


def _rows(name: str) -> list[dict[str, Any]]:
    path = HISTORY / name
    if not path.exists():
        sys.exit(f"got no {path}\n  expected: recorded success rates\n  to do: put the file there")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Synthetic:
    """Logistic growth by cluster: problems that are alike learn from each other.

    The log odds of a problem are its difficulty plus what its cluster and the policy as a whole
    have learned; its features are its cluster's direction with noise. A trained group with a signal
    adds ``gain`` to its cluster and a hundredth to all. With ``normalised``, a step's additions are
    scaled to those of a full batch, as an optimiser does that divides by the gradient's size;
    otherwise they are proportional to the groups.

    Args:
        share: Expected share of groups with a signal at first.
        gain: What a trained group adds to the log odds of its cluster.
        seed: Seed of the difficulties.
        normalised: Whether each step moves the policy equally far.
    """

    CLUSTERS, HELD_OUT = 30, 600

    def __init__(
        self, share: float, gain: float, *, seed: int, normalised: bool, num_problems: int = 1200
    ) -> None:
        rng = np.random.default_rng(seed)
        self.num_problems, self.gain, self.normalised = num_problems, gain, normalised
        self._cluster = np.arange(num_problems + self.HELD_OUT) % self.CLUSTERS
        spread = rng.normal(0, 2.5, self.CLUSTERS)[self._cluster]
        spread += rng.normal(0, 1.5, len(self._cluster))
        low, high = -30.0, float(-np.median(spread))  # the hard side: more failures than successes
        for _ in range(60):
            middle = (low + high) / 2
            above = signal_chance(sigmoid(spread[:num_problems] + middle)).mean() > share
            low, high = (low, middle) if above else (middle, high)
        self._difficulty = spread + low
        self._learned, self._shared = np.zeros(self.CLUSTERS), 0.0
        known = np.random.default_rng([seed, 3])
        places = known.normal(size=(self.CLUSTERS, 16)) / 4
        self.features: NDArray[Any] = places[self._cluster[:num_problems]]
        self.features = self.features + 0.15 * known.normal(size=self.features.shape)

    def rates(self) -> Floats:
        """Return the pool's (n,) rates now."""
        return self._rates()[: self.num_problems]

    def accuracy(self) -> float:
        """Return the mean rate of the held-out problems, which are of the same clusters."""
        return float(self._rates()[self.num_problems :].mean())

    def train(self, indices: Indices) -> None:
        """Add what the groups teach."""
        if len(indices):
            scale = BATCH / len(indices) if self.normalised else 1.0
            groups = np.bincount(self._cluster[indices], minlength=self.CLUSTERS)
            self._learned += self.gain * scale * groups
            self._shared += self.gain / 100 * scale * len(indices)

    def _rates(self) -> Floats:
        return sigmoid(self._difficulty + self._learned[self._cluster] + self._shared)


def sigmoid(log_odds: Floats) -> Floats:
    """Return rates of log odds."""
    rates: Floats = 1 / (1 + np.exp(-log_odds))
    return rates


def signal_chance(rates: Floats) -> Floats:
    """Return the chance that a group has both outcomes."""
    chance: Floats = 1 - rates**GROUP - (1 - rates) ** GROUP
    return chance


class Oracle(Curriculum):
    """Knows the present success rates: what a curriculum could do at best.

    Chooses in proportion to the chance of a signal, or the problems of highest chance.
    """

    name = "oracle"

    def __init__(self, world: World, *, top: bool, seed: int) -> None:
        super().__init__(world.num_problems, seed=seed)
        self.world, self.top = world, top

    def _choose(self, count: int, excluded: Booleans) -> Indices:
        chance = signal_chance(self.world.rates())
        if not self.top:
            return proportional(chance, excluded, count, self.rng)
        chance = np.where(excluded, -1.0, chance)
        return np.lexsort((self.rng.random(len(chance)), -chance))[:count]


@dataclass
class Moment:
    """What is known after a step."""

    rates: Floats  # (n,) true rates before the step
    sampled: Indices
    with_signal: int  # among the sampled
    trained: Indices  # groups with a signal, at most BATCH
    rounds: int


def simulate(
    world: World, curriculum: Curriculum, *, seed: int, whole_batches: bool = False
) -> Iterator[Moment]:
    """Train step by step, without an end."""
    rng = np.random.default_rng([seed, 1])
    signal = np.zeros(world.num_problems, dtype=bool)

    def roll_out(indices: Indices) -> Outcomes:
        successes = rng.binomial(GROUP, world.rates()[indices])
        signal[indices] = (successes > 0) & (successes < GROUP)
        return Outcomes(successes, GROUP)

    while True:
        step = collect_step(
            curriculum, BATCH, roll_out, max_rounds=MAX_ROUNDS, whole_batches=whole_batches
        )
        trained = step.trained[signal[step.trained]]
        rates, count = world.rates().copy(), int(signal[step.sampled].sum())
        world.train(trained)
        yield Moment(rates, step.sampled, count, trained, step.rounds)
