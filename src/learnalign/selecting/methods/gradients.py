"""Methods based on policy gradients: LearnAlign and its baselines."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def learnalign(candidates: Candidates) -> Floats:
    """Learnability times alignment: the mean over j of V_i V_j cos(i, j) (arXiv 2506.11480).

    The alignment is with the mean of V_j times unit gradients.
    """
    return candidates.learnability * candidates.alignment


def alignment(candidates: Candidates) -> Floats:
    """Cosine only: the mean over j of cos(i, j), the paper's ablation without V.

    The alignment is with the mean of unit gradients. Problems without a gradient come last.
    """
    return np.where(candidates.learnability > 0, candidates.alignment, -np.inf)


def inner_product(candidates: Candidates) -> Floats:
    """Raw inner product: the mean over j of grad_i . grad_j, not normalised.

    The alignment is with the mean of gradients. Favours short responses (arXiv 2506.11480, section
    on length bias).
    """
    norms = np.nan_to_num(candidates.gradient_norm)
    return np.where(candidates.learnability > 0, norms * candidates.alignment, -np.inf)


def gradalign(candidates: Candidates) -> Floats:
    """Cosine to a validation set's mean gradient; needs a target (GradAlign, arXiv 2602.21492).

    The alignment is with the mean of the target's gradients; a constant factor (that mean's norm)
    does not change the ranking.
    """
    return np.where(candidates.learnability > 0, candidates.alignment, -np.inf)
