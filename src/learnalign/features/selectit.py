"""SelectIT: a model rates a problem and its answer; its uncertainty lowers the rating.

Liu et al., arXiv 2402.16705. The model is prompted for a score of 1 to K in M wordings. Each score
is weighted by how far its probability exceeds the others (token level), and their mean is divided
by the disagreement of the wordings (sentence level). The paper's third level, an average over
several models, does not apply to one model. The paper rates instructions with their responses; RLVR
problems have a bare gold answer instead, so the wordings are our own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnalign.errors import LearnAlignError

Floats = NDArray[np.float64]

#: K: scores range from 1 to this.
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
    """Compute the token-level rating: the most likely score, weighted by its certainty.

    With P'_k = P_k / sum_j P_j and S the most likely score, the rating is
    ``S * 1/(K-1) * sum_k |P'_k - P'_S|`` (arXiv 2402.16705, token-level self-reflection). It is 0
    if all scores are equally likely, and S if S is certain. Ties go to the lowest score, as in the
    authors' code.

    Args:
        probabilities: (n, K) probabilities of the scores 1..K, K at least 2; a row need not sum
            to 1.

    Returns:
        (n,) ratings from 0 to K; NaN if a row contains NaN or sums to 0.

    Example:
        >>> token_rating([[0.0, 0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.1, 0.6]]).round(6).tolist()
        [4.0, 2.5]
    """
    values = np.asarray(probabilities, np.float64)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN, as documented
        shares = values / values.sum(axis=1, keepdims=True)
    highest = shares.max(axis=1, keepdims=True)
    gaps = np.abs(shares - highest).sum(axis=1) / (values.shape[1] - 1)
    return np.asarray((shares.argmax(axis=1) + 1) * gaps, np.float64)


def sentence_rating(ratings: ArrayLike, alpha: float = 0.2) -> Floats:
    """Compute the sentence-level rating: the wordings' mean, lower if they disagree.

    ``mean_m(S_m) / (1 + alpha * std_m(S_m))`` (arXiv 2402.16705, sentence-level self-reflection;
    the population's standard deviation, as in the authors' code).

    Args:
        ratings: (n, M) token-level ratings, one per wording.
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
    """Build the rating prompt; the model's next token is the score.

    Args:
        tokenizer: The model's tokenizer. With a chat template, the question is a user turn;
            without one, the text starts with BOS if the tokenizer adds it, and ends with a newline.
        wording: One of ``RATING_PROMPTS``.
        problem: The problem's text.
        answer: Its gold answer.
        variables: Variables of the chat template. If the template makes the model think first, they
            must disable that, or the next token is not a score.
    """
    question = f"{wording}\n\nProblem:\n{problem}\n\nAnswer:\n{answer}"
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": question}]
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **(variables or {})
        )
        return text
    bos = tokenizer.bos_token or ""
    adds_bos = bos and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return f"{bos if adds_bos else ''}{question}\n\nRating:\n"


def score_ids(tokenizer: Any, before: str) -> list[list[int]]:
    """Find the tokens that represent each score after a text.

    Tokenises ``before`` followed by "3" or " 3"; a score's token is the one added by this. The form
    with a space counts only if it is a single token (GPT-2's "Ġ3"). If it is a space and a digit
    (Qwen's, SmolLM2's), only the probability of the digit itself is used.

    Args:
        tokenizer: The model's tokenizer.
        before: The text before the score, as built by `rating_text`.

    Returns:
        For each score 1..K, the ids of one or two tokens.

    Raises:
        LearnAlignError: if a score is not a single token in either form.
    """

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    start = encode(before)
    token_ids = []
    for score in range(1, NUM_SCORES + 1):
        forms = [encode(f"{before}{space}{score}") for space in ("", " ")]
        ids = {ids[-1] for ids in forms if ids[:-1] == start} - {tokenizer.unk_token_id}
        if not ids:
            raise LearnAlignError(
                f"the tokenizer has no single token for the score {score}: it returns "
                f"{tokenizer.convert_ids_to_tokens(forms[0][-3:])}",
                expected="a tokenizer with a token for each of 1 to 5, or for each with a space",
                do="use another selection method, or rate with another model",
            )
        token_ids.append(sorted(ids))
    return token_ids
