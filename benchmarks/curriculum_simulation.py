"""Every curriculum in a simulated training: groups with a signal, rollouts, estimates, coverage.

In a recorded training (1,209 problems, 500 steps), on a large pool with fixed rates (29,446
problems, 460 steps) and in a synthetic training that reacts to what is trained
(`curriculum_worlds`). The design and the hypotheses are in docs/results/curriculum.md.
"""

import sys
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy import stats

from curriculum_worlds import (
    GROUP,
    Fixed,
    Oracle,
    Recorded,
    Synthetic,
    World,
    load_large_pool,
    load_readings,
    signal_chance,
    simulate,
)  # fmt: skip
from harness import Figure, publish
from learnalign.curriculum.base import Curriculum, Floats
from learnalign.curriculum.learnalign import LearnAlign
from learnalign.curriculum.registry import curriculum_named
from learnalign.curriculum.success_model import SuccessModel

SEEDS, STEPS, LARGE_STEPS, SYNTHETIC_STEPS = range(8), 500, 460, 300
EARLY = 95  # steps of five passes over 1,209 problems
READ_FROM, READ_EVERY = 100, 25  # steps at which estimates are compared with the truth
SHARES = {"a tenth": 0.1, "a third": 1 / 3}
#: By share and whether steps are normalised: so that `order` ends between 0.40 and 0.46 on seed 99.
GAINS = {("a tenth", False): 0.03, ("a tenth", True): 0.006,
         ("a third", False): 0.008, ("a third", True): 0.003}  # fmt: skip
PER_STEP = 64


@dataclass(frozen=True)
class Method:
    """A curriculum with its options."""

    make: Callable[[World, int], Curriculum]
    whole_batches: bool = False


def named(name: str, **options: Any) -> Callable[[World, int], Curriculum]:
    """Make a registered curriculum for a world."""
    return lambda world, seed: curriculum_named(name, world.num_problems, seed=seed, **options)


def ours(**options: Any) -> Callable[[World, int], Curriculum]:
    """Make `learnalign` with the features that a world has."""
    return lambda world, seed: LearnAlign(
        world.num_problems, seed=seed, features=world.features, **options
    )


METHODS = {
    "order": Method(named("order")),
    "dynamic": Method(named("dynamic")),
    "dynamic, whole batches": Method(named("dynamic"), whole_batches=True),
    "greso": Method(named("greso")),
    "mopps, L = 1": Method(named("mopps")),
    "mopps, L = 0.5": Method(named("mopps", discount=0.5)),
    "mapp, L = 1": Method(named("mapp")),
    "mapp, L = 0.5": Method(named("mapp", discount=0.5)),
    "learnalign": Method(ours()),
    "learnalign, no sharing": Method(named("learnalign")),
    "learnalign, no refill": Method(ours(refill=False)),
    "learnalign, gate 1": Method(ours(gate=1.0)),
    "learnalign, uniform prior": Method(ours(fitted_prior=False)),
    "learnalign, L = 1": Method(ours(discounts=(1.0,))),
    "oracle, in proportion": Method(lambda world, seed: Oracle(world, top=False, seed=seed)),
    "oracle, top": Method(lambda world, seed: Oracle(world, top=True, seed=seed)),
}


def effective_share(counts: np.ndarray) -> float:
    """Return the effective number of problems, 1 / sum of squared shares, divided by n."""
    shares = counts / max(1, counts.sum())
    return float(1 / max((shares**2).sum(), 1e-12) / len(counts))


def compared(estimates: Floats | None, truth: Floats) -> dict[str, float]:
    """Return the Pearson correlation and the root mean square error."""
    if estimates is None or np.ptp(estimates) == 0:
        return {}
    return {
        "pearson": float(np.corrcoef(estimates, truth)[0, 1]),
        "rmse": float(np.sqrt(((estimates - truth) ** 2).mean())),
    }


def given_rates_run(method: Method, world: World, steps: int, seed: int) -> dict[str, float]:
    """Run one curriculum where rates do not depend on what is trained."""
    curriculum = method.make(world, seed)
    rng = np.random.default_rng([seed, 2])
    once = rng.binomial(GROUP, world.rates()) / GROUP
    trained = np.zeros(world.num_problems)
    sampled, signal, rounds = np.zeros((3, steps))
    errors: list[dict[str, float]] = []
    moments = simulate(world, curriculum, seed=seed, whole_batches=method.whole_batches)
    for step, moment in enumerate(islice(moments, steps)):
        sampled[step], signal[step] = len(moment.sampled), moment.with_signal
        rounds[step] = moment.rounds
        trained[moment.trained] += 1
        if step + 1 >= READ_FROM and (step + 1) % READ_EVERY == 0:
            before = {f"{key}_once": value for key, value in compared(once, moment.rates).items()}
            errors.append(compared(curriculum.estimates(), moment.rates) | before)
    means = {key: float(np.mean([row[key] for row in errors])) for key in errors[0]}
    return means | {
        "with_signal": signal.sum() / sampled.sum(),
        "early_with_signal": signal[:EARLY].sum() / sampled[:EARLY].sum(),
        "rollouts_per_trained": GROUP * sampled.sum() / trained.sum(),
        "trained_per_step": trained.sum() / steps,
        "rounds": rounds.mean(),
        "met": float((curriculum.times_observed > 0).mean()),
        "effective": effective_share(trained),
    }


def synthetic_run(method: Method, share: str, normalised: bool, seed: int) -> np.ndarray:
    """Run one curriculum in the synthetic training.

    Returns:
        (2, t) rollouts so far and accuracy on held-out problems, from before the training until
        `order`'s rollouts are spent.
    """
    gain = GAINS[share, normalised]
    world = Synthetic(SHARES[share], gain, seed=seed, normalised=normalised)
    budget = GROUP * PER_STEP * SYNTHETIC_STEPS
    curve = [(0, world.accuracy())]
    moments = simulate(
        world, method.make(world, seed), seed=seed, whole_batches=method.whole_batches
    )
    while curve[-1][0] < budget:
        moment = next(moments)
        curve.append((curve[-1][0] + GROUP * len(moment.sampled), world.accuracy()))
    return np.array(curve, dtype=float).T


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and the half width of Student's 95 % interval."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return float(np.mean(values)), float(half)


def given_rates_rows() -> list[dict[str, Any]]:
    """Compare the curricula in the recorded training, smoothed too, and on a large pool."""
    readings, texts = load_readings()
    worlds: dict[str, tuple[Recorded | Fixed, int]] = {
        "recorded": (Recorded(readings, texts, STEPS), STEPS),
        "recorded, 5 readings averaged": (Recorded(readings, texts, STEPS, window=5), STEPS),
        "large pool": (Fixed(*load_large_pool()), LARGE_STEPS),
    }
    rows = []
    for label, (world, steps) in worlds.items():
        for name, method in METHODS.items():
            runs = [given_rates_run(method, copy(world), steps, seed) for seed in SEEDS]
            row: dict[str, Any] = {"table": label, "method": name}
            for key in runs[0]:
                row[key], row[f"{key}_half"] = interval([run[key] for run in runs])
            rows.append(row)
    return rows


def synthetic_rows() -> list[dict[str, Any]]:
    """Compare the curricula in the synthetic training, at equal rollouts, paired by seed."""
    rows = []
    budget = GROUP * PER_STEP * SYNTHETIC_STEPS
    for label in SHARES:
        for normalised in (False, True):
            finals: dict[str, list[float]] = {}
            for name, method in METHODS.items():
                curves = [synthetic_run(method, label, normalised, seed) for seed in SEEDS]
                finals[name] = [float(np.interp(budget, *curve)) for curve in curves]
                marks = zip(curves, finals["order"], strict=True)
                reached = [first_reaching(curve, mark) / budget for curve, mark in marks]
                gaps = np.subtract(finals[name], finals["order"]).tolist()
                row = {"table": "synthetic", "share": label, "normalised": normalised,
                       "method": name, "start": float(np.mean([c[1, 0] for c in curves])),
                       "reached_in": sum(spent <= 1 for spent in reached)}  # fmt: skip
                values = {"accuracy": finals[name], "to_order": gaps}
                if np.isfinite(reached).all():
                    values["rollouts_to_order"] = reached
                for key, numbers in values.items():
                    row[key], row[f"{key}_half"] = interval(numbers)
                rows.append(row)
    return rows


def words_row(observed: int = 2048, top: int = 2000) -> dict[str, Any]:
    """Predict the problems of the large pool by the words of some that were observed."""
    world = Fixed(*load_large_pool())
    rates, found = world.rates(), []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        order = rng.permutation(world.num_problems)
        seen, rest = order[:observed], order[observed:]
        model = SuccessModel(world.features)
        right = rng.binomial(GROUP, rates[seen]).astype(float)
        model.update(seen, right, np.full(observed, float(GROUP)))
        expected, signal = model.predict(rest), signal_chance(rates[rest])
        best = np.argsort(-signal_chance(expected))[:top]
        found.append(
            {
                "spearman": stats.spearmanr(expected, rates[rest]).statistic,
                "signal": signal.mean(),
                "signal_top": signal[best].mean(),
            }
        )
    row: dict[str, Any] = {"table": "words", "observed": observed, "top": top}
    for key in found[0]:
        row[key], row[f"{key}_half"] = interval([run[key] for run in found])
    return row


def first_reaching(curve: np.ndarray, mark: float) -> float:
    """Return the rollouts after which a curve first reaches a mark, infinity if it does not."""
    above = np.flatnonzero(curve[1] >= mark - 1e-12)
    return float(curve[0, above[0]]) if len(above) else float("inf")


def shown(row: dict[str, Any], key: str, digits: int = 3) -> str:
    """Show a mean with the half width of its interval."""
    if key not in row:
        return ""
    return f"{row[key]:.{digits}f} ± {row[f'{key}_half']:.{digits}f}"


def write_tables(rows: list[dict[str, Any]]) -> None:
    """Print the rows as the tables of the docs."""
    write = sys.stdout.write
    given = [row for row in rows if row["table"] not in ("synthetic", "words")]
    for label in dict.fromkeys(row["table"] for row in given):
        write(f"\n{label}\n\n| curriculum | groups with a signal | in the first {EARLY} steps | "
              "rollouts per trained group | trained per step | rounds | Pearson | error | met | "
              "effective share |\n|" + " --- |" * 10 + "\n")  # fmt: skip
        here = [row for row in given if row["table"] == label]
        for row in here:
            cells = [shown(row, "with_signal"), shown(row, "early_with_signal"),
                     shown(row, "rollouts_per_trained", 1), shown(row, "trained_per_step", 1),
                     f"{row['rounds']:.1f}", shown(row, "pearson"), shown(row, "rmse"),
                     shown(row, "met"), shown(row, "effective")]  # fmt: skip
            write(f"| {row['method']} | {' | '.join(cells)} |\n")
        write(f"| once before training | | | | | | {shown(here[0], 'pearson_once')} | "
              f"{shown(here[0], 'rmse_once')} | | |\n")  # fmt: skip
    for label in SHARES:
        for normalised in (False, True):
            write(f"\nsynthetic, {label}, {'normalised' if normalised else 'proportional'}\n\n"
                  "| curriculum | accuracy | to order | rollouts to order's accuracy |\n"
                  "| --- | --- | --- | --- |\n")  # fmt: skip
            for row in rows:
                if (row.get("share"), row.get("normalised")) == (label, normalised):
                    spent = f"in {row['reached_in']} of {len(SEEDS)} seeds"
                    if row["reached_in"] == len(SEEDS):
                        spent = shown(row, "rollouts_to_order", 2)
                    write(f"| {row['method']} | {shown(row, 'accuracy')} | "
                          f"{shown(row, 'to_order')} | {spent} |\n")  # fmt: skip
    (words,) = (row for row in rows if row["table"] == "words")
    write(f"\nby the words of {words['observed']} problems: Spearman {shown(words, 'spearman')}; "
          f"with a signal {shown(words, 'signal')}, of the {words['top']} most likely "
          f"{shown(words, 'signal_top')}\n")  # fmt: skip


def main() -> None:
    """Run every curriculum in every world."""
    begin = time.monotonic()
    rows = given_rates_rows() + synthetic_rows() + [words_row()]
    figures = {}
    for row in rows:
        if row["table"] == "recorded":
            figures[row["method"]] = Figure(
                row["with_signal"], "share with a signal", "higher", row["with_signal_half"]
            )
    write_tables(rows)
    publish("curriculum_simulation", begin, figures, rows)


if __name__ == "__main__":
    main()
