"""SelectIT: a model rates a problem with its answer, and its own uncertainty counts against it.

Liu et al., arXiv 2402.16705. The model is asked for a score of 1 to K in M wordings; each wording's
score is weighted by how far its probability stands out (token level), and their mean is divided by
how much the wordings disagree (sentence level). The paper's third level averages several models'
ratings; there is one model here. The paper rates instructions with their responses; a problem of
RLVR has a bare gold answer instead, so the wordings are our own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]

#: K: scores go from 1 to this.
NUM_SCORES = 5

#: M wordings of one question.
RATING_PROMPTS = (
    "Below are a problem and its correct answer. How useful is this problem for learning to "
    "reason? Reply with one number from 1 (useless) to 5 (very useful).",
    "Imagine a student who practises step-by-step reasoning. On a scale of 1 to 5, how much would "
    "working on the following problem, whose answer is given, teach them? Give the number alone.",
    "Judge the following problem as training material for a language model that is to reason "
    "better. 1 means it teaches nothing, 5 means it teaches a great deal. Write just the number.",
    "Consider how clear the problem below is, whether its answer is right, and how much thought it "
    "takes to get there. Sum this up as its value for learning to reason: one number from 1 to 5.",
    "You choose exercises for a course on reasoning. Would you take the one below, shown with its "
    "solution? Score it from 1 (certainly not) to 5 (certainly), and reply with the score only.",
)


def token_rating(probabilities: ArrayLike) -> Floats:
    """Rate at the token level: the likeliest score, times how far it stands out.

    With P'_k = P_k / sum_j P_j and S the likeliest score, the rating is
    ``S * 1/(K-1) * sum_k |P'_k - P'_S|`` (arXiv 2402.16705, token-level self-reflection). It is 0
    where all scores are equally likely, and S where S is certain. Of equally likely scores the
    lowest counts, as in the authors' code.

    Args:
        probabilities: (n, K) probabilities of the scores 1..K, K at least 2; a row need not sum
            to 1.

    Returns:
        (n,) ratings from 0 to K; NaN where a row holds NaN or sums to 0.

    Example:
        >>> token_rating([[0.0, 0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.1, 0.6]]).round(6).tolist()
        [4.0, 2.5]
    """
    values = np.asarray(probabilities, np.float64)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN, as promised
        shares = values / values.sum(axis=1, keepdims=True)
    highest = shares.max(axis=1, keepdims=True)
    gaps = np.abs(shares - highest).sum(axis=1) / (values.shape[1] - 1)
    return np.asarray((shares.argmax(axis=1) + 1) * gaps, np.float64)


def sentence_rating(ratings: ArrayLike, alpha: float = 0.2) -> Floats:
    """Rate at the sentence level: the wordings' mean, less where they disagree.

    ``mean_m(S_m) / (1 + alpha * std_m(S_m))`` (arXiv 2402.16705, sentence-level self-reflection;
    the population's standard deviation, as in the authors' code).

    Args:
        ratings: (n, M) token-level ratings, one a wording.
        alpha: Weight of the disagreement; the paper's 0.2.

    Returns:
        (n,) ratings, at most the mean.

    Example:
        >>> sentence_rating([[2.0, 4.0], [3.0, 3.0]]).tolist()
        [2.5, 3.0]
    """
    values = np.asarray(ratings, np.float64)
    return np.asarray(values.mean(axis=1) / (1.0 + alpha * values.std(axis=1)), np.float64)


def rating_text(
    tokenizer: Any,
    wording: str,
    problem: str,
    answer: str,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """Write what the model sees when it is asked for a rating; the score is its next token.

    Args:
        tokenizer: The model's tokenizer. With a chat template, the question is a user's turn;
            without one, the text begins as the tokenizer begins texts and ends in a new line.
        wording: One of ``RATING_PROMPTS``.
        problem: The problem's text.
        answer: Its gold answer.
        variables: Of the chat template; where it lets the model think first, its next token is no
            score, unless they say otherwise.
    """
    question = f"{wording}\n\nProblem:\n{problem}\n\nAnswer:\n{answer}"
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": question}]
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **(variables or {})
        )
        return text
    bos = tokenizer.bos_token or ""
    begins = bos and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return f"{bos if begins else ''}{question}\n\nRating:\n"


def score_ids(tokenizer: Any, before: str) -> list[list[int]]:
    """Find the tokens that say each score after a text.

    The tokenizer is asked what it makes of ``before`` with "3" or " 3" behind it: a score's token
    is the one that is then added. So the form with a space counts where it is one token (GPT-2's
    "Ġ3"), and not where it is a space and a digit (Qwen's, SmolLM2's): there the digit's own
    probability is all that the next token can say.

    Args:
        tokenizer: The model's tokenizer.
        before: What stands before the score, as `rating_text` writes it.

    Returns:
        For each score 1..K, the ids of one or two tokens.

    Raises:
        LearnAlignError: if a score is no single token in either form.
    """

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    start = encode(before)
    found = []
    for score in range(1, NUM_SCORES + 1):
        forms = [encode(f"{before}{space}{score}") for space in ("", " ")]
        ids = {ids[-1] for ids in forms if ids[:-1] == start} - {tokenizer.unk_token_id}
        if not ids:
            raise LearnAlignError(
                f"the tokenizer has no single token for the score {score}: it writes "
                f"{tokenizer.convert_ids_to_tokens(forms[0][-3:])}",
                expected="a tokenizer in which each of 1 to 5 is a token, after a space or not",
                do="choose another selection method, or rate with another model",
            )
        found.append(sorted(ids))
    return found
