"""Methods based on the model's forward pass over the problem's text, without rollouts."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def features(candidates: Candidates) -> Floats:
    """Learnability times the alignment of hidden states instead of gradients.

    The ablation of arXiv 2506.11480: V_i V_j cos of the last layer's states. The paper does not
    specify the token; here it is the prompt's last one.
    """
    return candidates.learnability * candidates.alignment


def perplexity_top(candidates: Candidates) -> Floats:
    """Perplexity of the prompt, the highest first."""
    return _last_if_nan(candidates.prompt_nll)


def perplexity_middle(candidates: Candidates) -> Floats:
    """Perplexity of the prompt, the middle of the ranking first (arXiv 2309.04564)."""
    values = candidates.prompt_nll
    known = np.isfinite(values)
    ranks = np.zeros(len(values))
    ranks[known] = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
    return np.where(known, -np.abs(ranks - (known.sum() - 1) / 2.0), -np.inf)


def ifd(candidates: Candidates) -> Floats:
    """Instruction-following difficulty: the answer's loss with the prompt over that without it.

    The highest first. At 1 and above the prompt does not help, and such problems come last
    (arXiv 2308.12032). In the paper the answer is a whole response; here it is the gold answer.
    """
    alone = candidates.answer_alone_nll
    ratio = np.divide(
        candidates.answer_nll, alone, out=np.full(len(alone), np.nan), where=alone > 0.0
    )
    return np.where(ratio < 1.0, ratio, -np.inf)


def token_length(candidates: Candidates) -> Floats:
    """Number of prompt tokens, the longest prompt first."""
    return candidates.num_prompt_tokens


def selectit(candidates: Candidates) -> Floats:
    """The model's rating of the problem and its answer, the highest first (arXiv 2402.16705)."""
    return _last_if_nan(candidates.rating)


def _last_if_nan(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, -np.inf)
