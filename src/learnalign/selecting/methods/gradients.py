"""Methods that look at policy gradients: LearnAlign and what it is measured against."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def learnalign(candidates: Candidates) -> Floats:
    """Learnability times alignment: the mean over j of V_i V_j cos(i, j) (arXiv 2506.11480).

    The alignment is to the mean of V_j times unit gradients.
    """
    return candidates.learnability * candidates.alignment


def alignment(candidates: Candidates) -> Floats:
    """Cosine alone: the mean over j of cos(i, j), the paper's ablation without V.

    The alignment is to the mean of unit gradients. Problems without a gradient come last.
    """
    return np.where(candidates.learnability > 0, candidates.alignment, -np.inf)


def inner_product(candidates: Candidates) -> Floats:
    """Raw inner product: the mean over j of grad_i . grad_j, lengths and all.

    The alignment is to the mean of gradients. Favours short responses (arXiv 2506.11480, section on
    length bias).
    """
    norms = np.nan_to_num(candidates.gradient_norm)
    return np.where(candidates.learnability > 0, norms * candidates.alignment, -np.inf)


def gradalign(candidates: Candidates) -> Floats:
    """Cosine to a validation set's mean gradient; needs a target (GradAlign, arXiv 2602.21492).

    The alignment is to the mean of the target's gradients; a constant factor (that mean's norm)
    changes no ranking.
    """
    return np.where(candidates.learnability > 0, candidates.alignment, -np.inf)
