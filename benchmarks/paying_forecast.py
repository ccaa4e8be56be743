"""The forecast of `learnalign profile`, fitted to the rows of `paying.py`, and its check.

An observation is the mean over the seeds of one pool: the accuracy of `signal` after E passes less
that of `full` (the whole pool) or of `random` after as many steps as M passes over the chosen
problems take. The check leaves a whole pool out, fits the others, and asks for the sign of the gain
at equal steps (M = E, a choice that costs nothing) and at equal costs: M such that the unchosen
training takes as long as choosing and training, read off its measured curve. A step of it takes as
long as one of `random`, which was run beside `signal`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Figure
from learnalign.profiling.gain import Unchosen, features, gain
from paying_tables import BUDGET, PASSES, cost, difference

Row = dict[str, Any]
Floats = NDArray[np.float64]
CHOSEN: str = "signal"
#: Passes of its readings beyond PASSES.
LONGER = (8, 16)
#: The rule that trains on what the forecast compares with.
RULES: dict[Unchosen, str] = {"pool": "full", "random": "random"}


@dataclass(frozen=True)
class Cell:
    """A gain that was measured in one pool, with what the forecast is made from."""

    policy: str
    pool: str
    share: float
    passes: float
    unchosen_passes: float
    gain: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether its 95 % interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


Key = tuple[str, str]
"""A policy and a pool."""


def pairs(
    rows: Sequence[Row], over: Unchosen, *, lengths: int = len(PASSES + LONGER)
) -> dict[Key, list[tuple[Row, Row]]]:
    """Return the trainings of both rules, paired by seed, that were read at so many lengths."""
    others = {(_key(row), row["seed"]): row for row in rows
              if row["rule"] == RULES[over] and len(row["readings"]) >= lengths}  # fmt: skip
    found: dict[Key, list[tuple[Row, Row]]] = {}
    for row in rows:
        if row["rule"] == CHOSEN and (_key(row), row["seed"]) in others:
            found.setdefault(_key(row), []).append((row, others[_key(row), row["seed"]]))
    return {key: both for key, both in found.items() if len(both) > 1}


def observations(rows: Sequence[Row], over: Unchosen) -> list[Cell]:
    """Return the cells that the coefficients are fitted to: every E, and every M from E on."""
    cells = []
    for key, both in pairs(rows, over).items():
        for place, passes in enumerate(PASSES):
            for at in range(place, len(both[0][1]["readings"])):
                values = [
                    mine["readings"][place]["accuracy"] - other["readings"][at]["accuracy"]
                    for mine, other in both
                ]
                longer = (PASSES + LONGER)[at]
                cells.append(_cell(key, both, passes, longer, values))
    return cells


def at_equal_cost(rows: Sequence[Row], over: Unchosen) -> list[Cell]:
    """Return the cells of each pool and E in which the other has trained for as many seconds."""
    pace, cells = seconds_per_step(rows), []
    for key, both in pairs(rows, over).items():
        for place, passes in enumerate(PASSES):
            values, lengths = [], []
            for mine, other in both:
                seconds = mine["readings"][place]["seconds"] + cost(mine)
                steps = seconds / pace[key, mine["seed"]]
                readings = other["readings"]
                curve = [reading["accuracy"] for reading in readings]
                marks = np.log([reading["steps"] for reading in readings])
                values.append(
                    mine["readings"][place]["accuracy"] - np.interp(np.log(steps), marks, curve)
                )
                lengths.append(min(steps, readings[-1]["steps"]) / _steps(mine))
            cells.append(_cell(key, both, passes, float(np.mean(lengths)), values))
    return cells


def seconds_per_step(rows: Sequence[Row]) -> dict[tuple[Key, int], float]:
    """Return what a step on random problems takes, by policy and pool, and seed."""
    last = {
        (_key(row), row["seed"]): row["readings"][-1]
        for row in rows
        if row["rule"] == RULES["random"]
    }
    return {key: reading["seconds"] / reading["steps"] for key, reading in last.items()}


def fit(cells: Sequence[Cell]) -> Floats:
    """Fit the coefficients by least squares."""
    wanted = np.array([cell.gain for cell in cells])
    return np.asarray(np.linalg.lstsq(design(cells), wanted, rcond=None)[0], dtype=np.float64)


def design(cells: Sequence[Cell]) -> Floats:
    """Return the features of each cell: (cells, coefficients)."""
    return np.array([features(cell.share, cell.passes, cell.unchosen_passes) for cell in cells])


def left_out(fitted: Sequence[Cell], asked: Sequence[Cell]) -> Floats:
    """Predict each cell by a fit to the other pools."""
    found = np.empty(len(asked))
    for pool in {cell.pool for cell in asked}:
        coefficients = fit([cell for cell in fitted if cell.pool != pool])
        here = [place for place, cell in enumerate(asked) if cell.pool == pool]
        found[here] = design([asked[place] for place in here]) @ coefficients
    return found


def of_another_model(rows: Sequence[Row]) -> list[Row]:
    """Return gains at equal steps of a model that nothing was fitted to, beside their forecast."""
    found = []
    for over in RULES:
        for key, both in pairs(rows, over, lengths=len(PASSES)).items():
            for place, passes in enumerate(PASSES):
                values = [
                    mine["readings"][place]["accuracy"] - other["readings"][place]["accuracy"]
                    for mine, other in both
                ]
                cell = _cell(key, both, passes, passes, values)
                forecast = gain(cell.share, passes, passes, over=over)
                found.append(
                    {"over": over, "at": "equal steps", "forecast": forecast} | asdict(cell)
                )
    return found


def text_of_another_model(found: Sequence[Row]) -> str:
    """Return gains beside their forecast as Markdown."""
    lines = ["| pool | passes | over | measured | forecast |", "| --- | --- | --- | --- | --- |"]
    for row in sorted(found, key=lambda row: (row["pool"], row["over"], row["passes"])):
        measured = f"{row['gain']:+.3f} ± {(row['high'] - row['low']) / 2:.3f}"
        name = f"{row['pool']} | {row['passes']} | {row['over']}"
        lines.append(f"| {name} | {measured} | {row['forecast']:+.3f} |")
    return "\n".join(lines)


def sampling(rows: Sequence[Row]) -> float:
    """Return the seconds of a rollout that chooses, by those of one that is trained on."""
    pace = seconds_per_step(rows)
    found = []
    for key, both in pairs(rows, "random").items():
        for mine, _ in both:
            whole_pool = _steps(mine) / BUDGET * pace[key, mine["seed"]]
            found.append(cost(mine) / whole_pool)
    return float(np.median(found))


def tables(rows: Sequence[Row]) -> list[Row]:
    """Return the gains at equal steps and at equal costs over both, by pool and passes."""
    return [
        {"over": over, "at": at} | asdict(cell)
        for over in RULES
        for at, cells in (
            ("equal steps", [c for c in observations(rows, over) if c.passes == c.unchosen_passes]),
            ("equal costs", at_equal_cost(rows, over)),
        )
        for cell in cells
    ]


def text(found: Sequence[Row]) -> str:
    """Return the table of the pools without noise as Markdown, for the policy that has both."""
    kinds = [(over, at) for over in RULES for at in ("equal steps", "equal costs")]
    heads = [f"over {over}, {at}" for over, at in kinds]
    lines = [f"| pool | passes | {' | '.join(heads)} |", "|" + " --- |" * (2 + len(heads))]
    policies = {row["policy"] for row in found if row["over"] == "pool"}
    clean = [r for r in found if r["policy"] in policies and r["pool"].count("-") == 1]
    for pool, passes in dict.fromkeys((row["pool"], row["passes"]) for row in clean):
        cells = [
            f"{row['gain']:+.3f} ± {(row['high'] - row['low']) / 2:.3f}"
            for kind in kinds
            for row in clean
            if (row["pool"], row["passes"], row["over"], row["at"]) == (pool, passes, *kind)
        ]
        lines.append(f"| {pool} | {passes} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Return the coefficients and how often the sign was right in pools left out of the fit."""
    found: dict[str, Figure] = {}
    for over in RULES:
        fitted = observations(rows, over)
        if len({cell.pool for cell in fitted}) < 3:
            continue
        found |= {f"forecast over {over}: {name}": Figure(float(value), "", "higher")
                  for name, value in zip("abcdef", fit(fitted), strict=True)}  # fmt: skip
        equal_steps = [cell for cell in fitted if cell.passes == cell.unchosen_passes]
        for at, cells in (("steps", equal_steps), ("costs", at_equal_cost(rows, over))):
            name = f"forecast over {over} at equal {at}"
            found |= _checked(name, cells, left_out(fitted, cells))
    return found | {"forecast: sampling": Figure(sampling(rows), "", "lower")}


def _checked(name: str, cells: Sequence[Cell], predicted: Floats) -> dict[str, Figure]:
    gains, clear = np.array([c.gain for c in cells]), np.array([c.clear for c in cells])
    right = np.sign(predicted) == np.sign(gains)
    error = float(np.sqrt(np.mean((predicted - gains) ** 2)))
    of_clear = float(right[clear].mean()) if clear.any() else 1.0
    return {
        f"{name}: sign right": Figure(float(right.mean()), "", "higher", goal=0.9),
        f"{name}: sign right where clear of 0": Figure(of_clear, "", "higher"),
        f"{name}: cells": Figure(float(len(cells)), "", "higher"),
        f"{name}: cells clear of 0": Figure(float(clear.sum()), "", "higher"),
        f"{name}: cells that gain": Figure(float((gains > 0).mean()), "", "higher"),
        f"{name}: error": Figure(error, "", "lower"),
    }


def _steps(row: Row) -> float:
    """Return the steps of one pass over the chosen problems."""
    return float(row["readings"][0]["steps"] / PASSES[0])


def _key(row: Row) -> Key:
    return row["policy"], row["pool"]


def _cell(
    key: Key, both: Sequence[tuple[Row, Row]], passes: float, longer: float, values: list[float]
) -> Cell:
    gain = difference(values)
    assert gain is not None
    share = float(np.mean([mine["measured_signal"] for mine, _ in both]))
    return Cell(*key, share, passes, longer, gain["mean"], gain["low"], gain["high"])
