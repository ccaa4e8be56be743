"""Methods based on rewards or on nothing: random, band, learnability."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def random(candidates: Candidates) -> Floats:
    """Select at random, seeded."""
    return candidates.tie_breaks


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
