"""Methods based on rewards or on nothing: random, signal, band, learnability."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def random(candidates: Candidates) -> Floats:
    """Select at random, seeded."""
    return candidates.tie_breaks


def signal(candidates: Candidates) -> Floats:
    """1 for problems with a signal (rewards that differ), 0 for others: a random choice of them.

    The default: of the rules that were measured, the one that was never below a random choice of
    all problems (docs/results/paying.md).
    """
    return (candidates.learnability > 0.0).astype(np.float64)


def band(candidates: Candidates) -> Floats:
    """1 inside the band of success rates, both ends included, 0 outside.

    The filter that trainers apply during a run (DAPO's dynamic sampling, arXiv 2503.14476, drops
    the rates 0 and 1).
    """
    low, high = candidates.band
    rates = candidates.success_rate
    return ((rates >= low) & (rates <= high)).astype(np.float64)


def learnability(candidates: Candidates) -> Floats:
    """Only p(1-p): the control that shows what the gradients add."""
    return candidates.learnability
