"""Methods that look at the problem's text through the model, without a rollout."""

import numpy as np

from learnalign.selecting.candidates import Candidates, Floats


def features(candidates: Candidates) -> Floats:
    """Learnability times the alignment of hidden states in place of gradients.

    The ablation of arXiv 2506.11480: V_i V_j cos of the last layer's states. Which state is not
    said there; here it is that of the prompt's last token.
    """
    return candidates.learnability * candidates.alignment


def perplexity_top(candidates: Candidates) -> Floats:
    """Perplexity of the prompt, the highest first."""
    return _last_if_nan(candidates.prompt_nll)


def perplexity_middle(candidates: Candidates) -> Floats:
    """Perplexity of the prompt, those in the middle of its ranking first (arXiv 2309.04564)."""
    values = candidates.prompt_nll
    known = np.isfinite(values)
    places = np.zeros(len(values))
    places[known] = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
    return np.where(known, -np.abs(places - (known.sum() - 1) / 2.0), -np.inf)


def ifd(candidates: Candidates) -> Floats:
    """Instruction-following difficulty: loss of the answer after the prompt over that without it.

    The highest first; at 1 and above the prompt does not help, and such problems come last
    (arXiv 2308.12032). There the answer is a whole response; here it is the gold answer.
    """
    alone = candidates.answer_alone_nll
    ratio = np.divide(
        candidates.answer_nll, alone, out=np.full(len(alone), np.nan), where=alone > 0.0
    )
    return np.where(ratio < 1.0, ratio, -np.inf)


def token_length(candidates: Candidates) -> Floats:
    """Tokens of the prompt, the longest first."""
    return candidates.num_prompt_tokens


def selectit(candidates: Candidates) -> Floats:
    """The model's rating of the problem and its answer, the highest first (arXiv 2402.16705)."""
    return _last_if_nan(candidates.rating)


def _last_if_nan(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, -np.inf)
