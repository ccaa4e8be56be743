"""Methods that look at rewards, or at nothing: random, band, learnability."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def random(candidates: Candidates) -> Floats:
    """Draw at random, seeded, without regard to anything."""
    return candidates.tie_breaks


def band(candidates: Candidates) -> Floats:
    """1 inside the band of success rates, both ends included, 0 outside.

    What trainers filter by while they run (DAPO's dynamic sampling, arXiv 2503.14476, drops the
    rates 0 and 1).
    """
    low, high = candidates.band
    rates = candidates.success_rate
    return ((rates >= low) & (rates <= high)).astype(np.float64)


def learnability(candidates: Candidates) -> Floats:
    """p(1-p) alone: the control that says what the gradients add."""
    return candidates.learnability
