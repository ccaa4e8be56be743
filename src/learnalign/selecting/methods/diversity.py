"""LearnAlign with diversity: a redundancy penalty, and facility location.

Both select problems greedily among the best by LearnAlign's score, based on the rows
z_i = V_i unit(gradient_i) that also define the score.
"""

import numpy as np
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.selecting.candidates import Candidates, Floats
from learnalign.selecting.methods.gradients import learnalign
from learnalign.selecting.order import ranking

#: The candidates are the best problems by score, this many per selected problem.
_FACTOR = 4
#: Maximum number of problems in the similarity matrix (its side; 256 MB).
_MOST = 8192
#: Penalty for an identical problem already selected, as a share of the problem's own V^2.
_PENALTY = 0.5


def diverse(candidates: Candidates) -> Floats:
    """Select by score minus half the similarity to the nearest selected problem.

    Maximal marginal relevance (Carbonell and Goldstein 1998) over LearnAlign's kernel: the score of
    i as a share of the highest, minus 0.5 times its largest cosine with a selected problem.
    """
    indices, kernel = _kernel(candidates)
    values = learnalign(candidates)[indices]
    weights = np.maximum(candidates.learnability[indices], 1e-300)
    cosines = kernel / np.outer(weights, weights)
    relevance = values / max(float(values.max(initial=0.0)), 1e-300)
    nearest = np.zeros(len(indices))
    chosen: list[int] = []
    remaining = np.ones(len(indices), bool)
    for _ in range(min(candidates.count, len(indices))):
        gains = np.where(remaining, relevance - _PENALTY * nearest, -np.inf)
        best = int(np.argmax(gains))
        chosen.append(best)
        remaining[best] = False
        nearest = np.maximum(nearest, cosines[best])
    return _as_scores(candidates, indices[chosen])


def facility_location(candidates: Candidates) -> Floats:
    """Select so that every candidate has a similar one among the selected.

    Greedy maximisation of sum_j max_{i selected} max(0, V_i V_j cos(i, j)), which reaches at least
    1 - 1/e of the optimum (Nemhauser, Wolsey and Fisher 1978).
    """
    indices, kernel = _kernel(candidates)
    kernel = np.maximum(kernel, 0.0)
    covered = np.zeros(len(indices))
    chosen: list[int] = []
    remaining = np.ones(len(indices), bool)
    for _ in range(min(candidates.count, len(indices))):
        gains = np.maximum(kernel - covered, 0.0).sum(axis=1)
        best = int(np.argmax(np.where(remaining, gains, -np.inf)))
        chosen.append(best)
        remaining[best] = False
        covered = np.maximum(covered, kernel[best])
    return _as_scores(candidates, indices[chosen])


def _kernel(candidates: Candidates) -> tuple[NDArray[np.int64], Floats]:
    """Return the indices of the best by score, and their (m, m) products z_i . z_j."""
    if candidates.count == 0 or candidates.rows is None:
        raise LearnAlignError(
            "got no budget", expected="the number of problems to select", do="pass --budget"
        )
    order = ranking(learnalign(candidates), candidates.tie_breaks)
    order = order[candidates.learnability[order] > 0.0]
    limit = min(max(_FACTOR * candidates.count, 1000), _MOST)
    if candidates.count > _MOST:
        raise LearnAlignError(
            f"got a budget of {candidates.count} problems",
            expected=f"at most {_MOST} for a method that compares each pair of them",
            do="use --method learnalign, which compares each with the mean",
        )
    indices = order[:limit]
    rows = candidates.rows(indices) * candidates.learnability[indices, None].astype(np.float32)
    return indices, (rows @ rows.T).astype(np.float64)


def _as_scores(candidates: Candidates, chosen: NDArray[np.int64]) -> Floats:
    """Score the selected by their order, and the others by LearnAlign's score, below them."""
    scores = learnalign(candidates)
    scores = scores / max(1.0, 2.0 * float(np.abs(scores).max(initial=0.0)))
    scores[chosen] = np.arange(len(chosen), 0, -1)
    return scores
