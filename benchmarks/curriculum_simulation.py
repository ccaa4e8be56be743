"""Every curriculum in a simulated training: groups with a signal, rollouts, estimates, coverage.

In a recorded training (1,209 problems, 500 steps) and in a synthetic one that reacts to what is
trained (`curriculum_worlds`). The design and the hypotheses are in docs/results/curriculum.md.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy import stats

from curriculum_worlds import GROUP, Oracle, Recorded, Synthetic, World, load_readings, simulate
from harness import Figure, publish
from learnalign.curriculum.base import Curriculum, Floats
from learnalign.curriculum.registry import curriculum_named

SEEDS, STEPS, SYNTHETIC_STEPS = range(8), 500, 300
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


METHODS = {
    "order": Method(named("order")),
    "dynamic": Method(named("dynamic")),
    "dynamic, whole batches": Method(named("dynamic"), whole_batches=True),
    "greso": Method(named("greso")),
    "mopps, L = 1": Method(named("mopps")),
    "mopps, L = 0.5": Method(named("mopps", discount=0.5)),
    "mapp, L = 1": Method(named("mapp")),
    "mapp, L = 0.5": Method(named("mapp", discount=0.5)),
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


def recorded_run(
    method: Method, readings: list[list[float]], window: int, seed: int
) -> dict[str, float]:
    """Run one curriculum through the recorded training."""
    world = Recorded(readings, STEPS, window=window)
    curriculum = method.make(world, seed)
    rng = np.random.default_rng([seed, 2])
    once = rng.binomial(GROUP, world.rates()) / GROUP
    trained = np.zeros(world.num_problems)
    totals: dict[str, int] = defaultdict(int)
    errors: list[dict[str, float]] = []
    moments = simulate(world, curriculum, seed=seed, whole_batches=method.whole_batches)
    for step, moment in enumerate(islice(moments, STEPS), 1):
        totals["sampled"] += len(moment.sampled)
        totals["signal"] += moment.with_signal
        totals["rounds"] += moment.rounds
        trained[moment.trained] += 1
        if step >= READ_FROM and step % READ_EVERY == 0:
            before = {f"{key}_once": value for key, value in compared(once, world.rates()).items()}
            errors.append(compared(curriculum.estimates(), world.rates()) | before)
    means = {key: float(np.mean([row[key] for row in errors])) for key in errors[0]}
    return means | {
        "with_signal": totals["signal"] / totals["sampled"],
        "rollouts_per_trained": GROUP * totals["sampled"] / trained.sum(),
        "trained_per_step": trained.sum() / STEPS,
        "rounds": totals["rounds"] / STEPS,
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


def recorded_rows(readings: list[list[float]]) -> list[dict[str, Any]]:
    """Compare the curricula in the recorded training, as it is and smoothed."""
    rows = []
    for window in (1, 5):
        for name, method in METHODS.items():
            runs = [recorded_run(method, readings, window, seed) for seed in SEEDS]
            row: dict[str, Any] = {"table": "recorded", "window": window, "method": name}
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
    for window in (1, 5):
        write(f"\nrecorded, {window} reading(s) averaged\n\n| curriculum | groups with a signal | "
              "rollouts per trained group | trained per step | rounds | Pearson | error | met | "
              "effective share |\n|" + " --- |" * 9 + "\n")  # fmt: skip
        for row in rows:
            if row["table"] == "recorded" and row["window"] == window:
                cells = [shown(row, "with_signal"), shown(row, "rollouts_per_trained", 1),
                         shown(row, "trained_per_step", 1), f"{row['rounds']:.1f}",
                         shown(row, "pearson"), shown(row, "rmse"), f"{row['met']:.3f}",
                         shown(row, "effective")]  # fmt: skip
                write(f"| {row['method']} | {' | '.join(cells)} |\n")
        first = next(row for row in rows if row.get("window") == window)
        write(f"once before: {shown(first, 'pearson_once')}, {shown(first, 'rmse_once')}\n")
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


def main() -> None:
    """Run every curriculum in every world."""
    begin = time.monotonic()
    rows = recorded_rows(load_readings()) + synthetic_rows()
    figures = {}
    for row in rows:
        if row["table"] == "recorded" and row["window"] == 1:
            figures[row["method"]] = Figure(
                row["with_signal"], "share with a signal", "higher", row["with_signal_half"]
            )
    write_tables(rows)
    publish("curriculum_simulation", begin, figures, rows)


if __name__ == "__main__":
    main()
