"""Simulate adaptive rollouts: how many are needed for the same selection as with all of them.

A pool is a set of true success rates, from which rollouts are sampled. There are three stages of
one recorded training (one-shot RLVR's record; a rate is the mean of 32 rollouts), the first stage
smoothed (rates sampled from their posterior, so that none is 0 or 1), and two synthetic pools.

In each repetition every problem has G rollouts. `plan_next_round` sees them in rounds and stops
some problems early. Both versions are ranked and compared with selections from G fresh rollouts,
each with its own tie-breaks, to see how repeatable the full budget's selection is. Controls: the
same number of rollouts for every problem (rounded up), and the simple rule that stops problems
without a signal after the first round.

For scores with an alignment, each problem has a true alignment (normal, mean 1) and each rollout
adds an error, so that alignments from few rollouts are noisy. ``blind`` decides without alignments,
like a run, which computes gradients after all rollouts; ``told`` knows them after each round.
Spread and error are the assumed ones, or half or twice as large.
"""

import gzip
import json
import math
import os
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from harness import ROOT, Figure, publish
from learnalign.rollouts import adaptive
from learnalign.scoring.scores import learnability
from learnalign.selecting.order import budget_count, ranking

DATA = ROOT.parent / "shared" / "data" / "history" / "dsr_sub_history.jsonl.gz"
READINGS = {"first": slice(0, 4), "middle": slice(20, 24), "last": slice(40, 44)}
MADE_UP = {"U-shaped": (0.3, 0.3), "hard": (0.15, 1.5)}
GROUPS, BUDGETS = (8, 16, 32), (0.1, 0.2, 0.3)
ERROR, OTHER_ERRORS = 0.1, (0.05, 0.2)
REPEATS, FRESH, DRAWS = 50, 6, 2000
SCALES = (0.5, 1.0, 2.0)  # factors for the assumed spread and error of alignments


@dataclass(frozen=True)
class Cell:
    """One setting; with ``budget`` None, the goal is to find problems with a signal."""

    pool: str
    rollouts: int
    budget: float | None
    error: float = ERROR
    alignment: str = "none"
    """none, blind or told."""
    spread: float = 1.0
    noise: float = 1.0
    rounds: int = 4


def rates_of(name: str) -> np.ndarray:
    """Return the (n,) true success rates of a pool."""
    rng = np.random.default_rng(0)
    if name in MADE_UP:
        return rng.beta(*MADE_UP[name], 1200)
    if not DATA.exists():
        sys.exit(f"got no {DATA}\n  expected: one-shot RLVR's record\n  to do: put it there")
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["acc_history"] for line in lines]
    window = READINGS[name.split(",")[0]]
    rates = np.array([np.mean(row[window]) for row in rows])
    if "smoothed" not in name:
        return rates
    correct = np.round(32 * rates)
    a, b = adaptive.beta_prior(correct, np.full(len(rates), 32))
    return rng.beta(correct + a, 32 - correct + b)


@dataclass(frozen=True)
class Sample:
    """A pool's rollouts: cumulative number correct, and alignment, after each rollout."""

    correct: np.ndarray  # (n, G)
    alignment: np.ndarray  # (n, G)

    def after(self, tried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n,) counts of correct rollouts and (n,) alignments after (n,) rollouts."""
        index = np.arange(len(tried)), tried - 1
        return self.correct[index], self.alignment[index]

    def best(self, tried: np.ndarray, ties: np.ndarray, count: int) -> np.ndarray:
        """Select ``count`` problems from the first (n,) rollouts of each."""
        correct, alignment = self.after(tried)
        return ranking(learnability(correct / tried) * alignment, ties)[:count]


def draw(rates: np.ndarray, cell: Cell, truths: np.ndarray, rng: np.random.Generator) -> Sample:
    """Sample G rollouts of each problem."""
    size = len(rates), cell.rollouts
    correct = (rng.random(size) < rates[:, None]).cumsum(1)
    spread = cell.spread * adaptive.ALIGNMENT_SPREAD
    errors = math.sqrt(cell.noise * adaptive.ALIGNMENT_NOISE) * rng.standard_normal(size)
    means = errors.cumsum(1) / np.arange(1, cell.rollouts + 1)
    alignment = 1 + spread * (truths[:, None] + means)
    return Sample(correct, np.ones(size) if cell.alignment == "none" else alignment)


def spend(sample: Sample, cell: Cell, ties: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Simulate the rounds; return (n,) numbers of rollouts, and the predicted loss."""
    num, group = sample.correct.shape
    count = None if cell.budget is None else budget_count(cell.budget, num)
    tried, goes, loss = np.zeros(num, int), np.ones(num, bool), 0.0
    for done in adaptive.rounds(group)[:-1]:
        tried[goes] = done
        right, alignment = sample.after(tried)
        told = np.where((right > 0) & (right < tried), alignment, np.nan)
        found = adaptive.plan_next_round(
            right, tried, goes, done=done, num_rollouts=group, count=count, error=cell.error,
            ties=ties, aligned=cell.alignment != "none",
            alignment=told if cell.alignment == "told" else None, seed=seed,
        )  # fmt: skip
        goes, loss = found.active, found.loss
    tried[goes] = group
    return tried, loss


def repetition(cell: Cell, rates: np.ndarray, repeat: int) -> dict[str, float]:
    """Run one repetition: sample, simulate the rounds, select and compare."""
    seed = zlib.crc32(f"{cell.pool} {cell.rollouts} {repeat}".encode())
    rng, num, group = np.random.default_rng(seed), len(rates), cell.rollouts
    truths, ties = rng.standard_normal(num), rng.random(num)
    sample = draw(rates, cell, truths, rng)
    tried, stated = spend(sample, cell, ties, seed)
    everything = np.full(num, group)
    row = {"share": float(tried.mean() / group), "stated": stated}
    if cell.budget is None:
        signal = (sample.correct[:, -1] > 0) & (sample.correct[:, -1] < group)
        seen = sample.after(tried)[0]
        return row | {"same": float((signal & (seen > 0) & (seen < tried)).sum() / signal.sum())}
    count, first = budget_count(cell.budget, num), adaptive.rounds(group)[0]
    fresh = [
        draw(rates, cell, truths, rng).best(everything, rng.random(num), count)
        for _ in range(FRESH)
    ]
    full, begun = sample.best(everything, ties, count), sample.correct[:, first - 1]
    strategies = {
        "": tried,
        "uniform ": np.full(num, math.ceil(tried.mean())),
        "plain ": np.where((begun > 0) & (begun < first), group, first),
    }
    for name, counts in strategies.items():
        selected = sample.best(counts, ties, count)
        row[f"{name}share"] = float(counts.mean() / group)
        row[f"{name}same"] = common(selected, [full])
        row[f"{name}fresh"] = common(selected, fresh)
    return row | {"full fresh": common(full, fresh)}


def common(selected: np.ndarray, others: list[np.ndarray]) -> float:
    """Return the mean share of a selection that is also in other selections."""
    overlaps = [len(np.intersect1d(selected, other)) for other in others]
    return float(np.mean(overlaps) / len(selected))


def measured(cell: Cell) -> dict[str, Any]:
    """Repeat a cell and summarise it, with 95 % bootstrap intervals over repetitions for ratios."""
    adaptive._ROUNDS = cell.rounds
    rates = rates_of(cell.pool)
    runs = [repetition(cell, rates, repeat) for repeat in range(REPEATS)]
    draws = np.random.default_rng(0).integers(REPEATS, size=(DRAWS, REPEATS))
    all_of = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    row = asdict(cell) | {name: float(values.mean()) for name, values in all_of.items()}
    lost = 1 - all_of["same"]
    row |= {"lost": lost.mean(), "lost_error": lost.std(ddof=1) / math.sqrt(REPEATS)}
    row["lost_worst"] = lost.max()
    for name in ("", "uniform ", "plain ") if "full fresh" in all_of else ():
        over, under = all_of[f"{name}fresh"], all_of["full fresh"]
        row[f"{name}ratio"] = over.mean() / under.mean()
        ratios = over[draws].mean(1) / under[draws].mean(1)
        row[f"{name}ratio_interval"] = np.quantile(ratios, (0.025, 0.975)).tolist()
    return row


def cells() -> list[Cell]:
    """List all settings."""
    sides, whole = ("blind", "told"), list(product(GROUPS, BUDGETS))
    off = [(s, n) for s, n in product(SCALES, SCALES) if (s == 1) != (n == 1)]
    return [
        *(Cell(pool, *each) for pool in ("first", "first, smoothed", "last") for each in whole),
        *(Cell(pool, group, 0.2) for pool in ("middle", *MADE_UP) for group in GROUPS),
        *(Cell("first", group, 0.2, error) for group in GROUPS for error in OTHER_ERRORS),
        *(Cell("first", *each, alignment=side) for side in sides for each in whole),
        *(Cell("last", group, 0.2, alignment=side) for side in sides for group in GROUPS),
        *(Cell("first", 16, 0.2, ERROR, side, s, n) for side in sides for s, n in off),
        *(Cell("first", group, 0.2, rounds=num) for group in (8, 16) for num in (2, 8)),
        *(Cell("first", group, None) for group in GROUPS),
    ]


def main() -> None:
    """Measure all cells; those with default settings have goals."""
    begin = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        rows = list(workers.map(measured, cells()))
    figures = {}
    for cell, row in zip(cells(), rows, strict=True):
        if cell != Cell(cell.pool, cell.rollouts, cell.budget, alignment=cell.alignment):
            continue
        if cell.budget is None:
            continue
        name = f"{cell.pool}, {cell.rollouts}, {cell.budget:.0%}, alignment {cell.alignment}"
        half = float(np.ptp(row["ratio_interval"])) / 2
        figures[f"{name}: rollouts"] = Figure(row["share"], "of full", "lower", goal=0.6)
        figures[f"{name}: ratio"] = Figure(row["ratio"], "", "higher", half, goal=0.95)
    publish("adaptive", begin, figures, rows)


if __name__ == "__main__":
    main()
