"""The accuracy that choosing by a signal gains, forecast from the map of measured trainings.

The map (docs/results/paying.md) has pools whose share s of problems with a signal goes from 0.1 to
0.7, with and without noise. A tenth was chosen by `--method signal` and trained on for E passes;
the same policy was trained on as many random problems, and on the whole pool, for as many steps and
longer. With M, the length of that training, counted in passes over as many problems as were chosen:

    gain(s, E, M) = a + b logit(s) + c log2(E) + d log2(E)^2 - e log2(M) - f log2(M)^2

fitted by least squares to the means over the seeds, for each of the two: what is learned from the
choice, less what the other training learns. Choosing takes the time of C passes, so that
M = E + C compares equal costs. `benchmarks/paying.py` fits the coefficients, and checks them on
pools that were left out of the fit.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from learnalign.profiling.costs import Plan
from learnalign.profiling.measures import Share

Unchosen = Literal["pool", "random"]
#: a to f, against training on the whole pool and on random problems.
COEFFICIENTS: dict[Unchosen, tuple[float, ...]] = {
    "pool": (0.01496, -0.01589, 0.03396, -0.00967, 0.03064, -0.00323),
    "random": (0.00948, -0.01250, 0.03263, -0.00917, 0.02339, -0.00529),
}
#: Root of the mean squared error in pools left out of the fit; an interval is two on each side.
ERRORS: dict[Unchosen, float] = {"pool": 0.0103, "random": 0.0081}
#: Shares with a signal and passes beyond which nothing was measured: the nearest is taken.
SHARES, PASSES = (0.1, 0.7), (1.0, 4.0)
LONGEST = 16.0
#: What a rollout of the choice costs, by one of the training, which is learned from as well.
SAMPLING = 0.79


@dataclass(frozen=True)
class Gain:
    """A forecast of accuracy gained (0.01 is a point), with an interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What choosing is expected to gain over a training that takes as long as both together."""

    over_pool: Gain
    """Over training on the whole pool."""
    over_random: Gain
    """Over training on as many random problems."""


def features(share: float, passes: float, unchosen_passes: float) -> tuple[float, ...]:
    """Return what the coefficients multiply, within the limits of what was measured.

    Of a training that is longer or shorter than the measured ones, M / E is kept.

    Example:
        >>> features(0.5, 2.0, 8.0)
        (1.0, 0.0, 1.0, 1.0, -3.0, -9.0)
        >>> features(0.5, 40.0, 80.0) == features(0.5, 4.0, 8.0)
        True
    """
    share = float(np.clip(share, *SHARES))
    odds = float(np.log(share / (1.0 - share)))
    measured = float(np.clip(passes, *PASSES))
    length = float(np.log2(measured))
    other = float(np.log2(np.clip(measured * unchosen_passes / passes, PASSES[0], LONGEST)))
    return 1.0, odds, length, length**2, -other, -(other**2)


def gain(share: float, passes: float, unchosen_passes: float, *, over: Unchosen = "pool") -> float:
    """Forecast the accuracy gained by a choice.

    Args:
        share: Of the pool's problems, with a signal: 0 to 1; the map's limits beyond them.
        passes: E, of the training on the chosen problems.
        unchosen_passes: M, the length of the training on the pool or on random problems, at least
            E, in passes over as many problems as are chosen.
        over: What it is compared with.

    Example:
        >>> gain(0.1, 4, 4) > gain(0.5, 4, 4) > gain(0.5, 4, 14)
        True
    """
    return float(np.dot(COEFFICIENTS[over], features(share, passes, unchosen_passes)))


def forecast_gain(share: Share, plan: Plan) -> Forecast:
    """Forecast the gain at equal costs, with the choice charged.

    Args:
        share: With a signal, measured; its interval widens the forecast's.
        plan: What is planned.

    Example:
        >>> share = Share(20, 200, 0.1, 0.07, 0.15)
        >>> for reused in (0, 1600):  # of all rollouts that choose, those that exist
        ...     plan = Plan(pool=1600, chosen=160, passes=1, num_rollouts=8, reused=reused)
        ...     print(forecast_gain(share, plan).over_pool.mean > 0.0)
        False
        True
    """
    choosing = SAMPLING * max(0, plan.pool - plan.reused) / max(1, plan.chosen)

    def interval(over: Unchosen) -> Gain:
        ends = [end for end in (share.low, share.share, share.high) if end is not None]
        lengths = (plan.passes, plan.passes + choosing)
        gains = [gain(end, *lengths, over=over) for end in ends]
        middle, error = gain(share.share, *lengths, over=over), 2 * ERRORS[over]
        return Gain(middle, min(gains) - error, max(gains) + error)

    return Forecast(over_pool=interval("pool"), over_random=interval("random"))
