"""LearnAlign with an eye on what is chosen already: a redundancy penalty, and facility location.

Both choose one problem after the other among the best by LearnAlign's score, from the same rows
z_i = V_i unit(gradient_i) that the score is made of.
"""

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.selecting.candidates import Candidates, Floats
from learnalign.selecting.methods.gradients import learnalign
from learnalign.selecting.order import ranking

#: So many of the best by score, for each problem that is chosen, may be chosen at all.
_FACTOR = 4
#: Most problems that a matrix of similarities is made of (its side; 256 MB).
_MOST = 8192
#: What an equal chosen problem takes off a problem's score, as a share of its own V^2.
_PENALTY = 0.5


def diverse(candidates: Candidates) -> Floats:
    """Choose by score less half the likeness to the nearest chosen problem.

    Maximal marginal relevance (Carbonell and Goldstein 1998) over LearnAlign's kernel: the score of
    i, as a share of the highest, less 0.5 times the largest cosine between i and what is chosen.
    """
    places, kernel = _kernel(candidates)
    values = learnalign(candidates)[places]
    weights = np.maximum(candidates.learnability[places], 1e-300)
    cosines = kernel / np.outer(weights, weights)
    relevance = values / max(float(values.max(initial=0.0)), 1e-300)
    nearest = np.zeros(len(places))
    chosen: list[int] = []
    left = np.ones(len(places), bool)
    for _ in range(min(candidates.count, len(places))):
        gains = np.where(left, relevance - _PENALTY * nearest, -np.inf)
        best = int(np.argmax(gains))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, cosines[best])
    return _as_scores(candidates, places[chosen])


def facility_location(candidates: Candidates) -> Floats:
    """Choose so that every problem of the pool has a like one among the chosen.

    Greedy maximisation of sum_j max_{i chosen} max(0, V_i V_j cos(i, j)), which comes within
    1 - 1/e of the best set (Nemhauser, Wolsey and Fisher 1978).
    """
    places, kernel = _kernel(candidates)
    kernel = np.maximum(kernel, 0.0)
    covered = np.zeros(len(places))
    chosen: list[int] = []
    left = np.ones(len(places), bool)
    for _ in range(min(candidates.count, len(places))):
        gains = np.maximum(kernel - covered, 0.0).sum(axis=1)
        best = int(np.argmax(np.where(left, gains, -np.inf)))
        chosen.append(best)
        left[best] = False
        covered = np.maximum(covered, kernel[best])
    return _as_scores(candidates, places[chosen])


def _kernel(candidates: Candidates) -> tuple[NDArray[np.int64], Floats]:
    """Give the places of the best by score, and their (m, m) products z_i . z_j."""
    if candidates.count == 0 or candidates.rows is None:
        raise LearnAlignError(
            "got no budget", expected="how many problems to choose", do="give --budget"
        )
    order = ranking(learnalign(candidates), candidates.tie_breaks)
    order = order[candidates.learnability[order] > 0.0]
    most = min(max(_FACTOR * candidates.count, 1000), _MOST)
    if candidates.count > _MOST:
        raise LearnAlignError(
            f"got a budget of {candidates.count} problems",
            expected=f"at most {_MOST} for a method that compares each pair of them",
            do="give --method learnalign, which compares each with the mean",
        )
    places = order[:most]
    rows = candidates.rows(places) * candidates.learnability[places, None].astype(np.float32)
    return places, (rows @ rows.T).astype(np.float64)


def _as_scores(candidates: Candidates, chosen: NDArray[np.int64]) -> Floats:
    """Give the chosen their place from the end, and the others LearnAlign's score below it."""
    scores = learnalign(candidates)
    scores = scores / max(1.0, 2.0 * float(np.abs(scores).max(initial=0.0)))
    scores[chosen] = np.arange(len(chosen), 0, -1)
    return scores
