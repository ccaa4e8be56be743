"""``unfollowed-reward``: the same answer is rewarded once and not another time."""

from collections.abc import Sequence

import numpy as np
from scipy.special import betaln

from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Problem

#: Chance that a reward that follows the answer differs (an answer that was misread).
_FLIP = 0.02
_ITERATIONS = 50
#: The posterior from which a problem is listed.
LISTED = 0.5
Votes = list[tuple[str, int, int]]


def unfollowed_rewards(problems: Sequence[Problem]) -> list[Finding]:
    """Find problems whose rewards do not follow the answers.

    Two explanations are compared: each of k different answers has its own reward, of which 1 in
    k + 1 is expected to be right, and one in 50 rollouts misses it; or a coin with the problem's
    own bias decides, whatever the answer. The score is the posterior of the coin; its prior is
    fitted to the pool. Listed are problems in which an answer has both rewards, from 0.5.

    Example:
        >>> from learnalign.auditing.problem import Answer
        >>> answers = tuple(Answer(i, "4", True, i % 2 == 0, False) for i in range(8))
        >>> found = unfollowed_rewards([Problem("a", "", None, "2 + 2", "4", answers)])
        >>> found[0].evidence, found[0].score > 0.9
        ("the answer '4' is rewarded in 4 rollouts and not in 4", True)
    """
    votes = [_votes(problem) for problem in problems]
    tried = [index for index, vote in enumerate(votes) if any(a + b > 1 for _, a, b in vote)]
    odds = np.array([_log_odds(votes[index]) for index in tried])
    prior, posterior = 0.1, np.zeros(len(tried))
    for _ in range(_ITERATIONS):
        posterior = 1 / (1 + np.exp(np.clip(-odds - np.log(prior / (1 - prior)), -500, 500)))
        prior = float((posterior.sum() + 1) / (len(tried) + 10))
    found = []
    for index, score in zip(tried, posterior.tolist(), strict=True):
        both = [vote for vote in votes[index] if vote[1] and vote[2]]
        if both and score >= LISTED:
            answer, yes, no = max(both, key=lambda vote: (min(vote[1:]), vote))
            evidence = f"the answer '{answer}' is rewarded in {yes} rollouts and not in {no}"
            sample = next(
                a.sample for a in problems[index].answers if a.key == answer and a.rewarded
            )
            name = problems[index].problem_id
            found.append(Finding(name, score, evidence, sample=sample))
    return found


def _votes(problem: Problem) -> Votes:
    """Return each answer with its rewarded and unrewarded rollouts."""
    counts: dict[str, list[int]] = {}
    for answer in problem.answers:
        if answer.key is not None and answer.rewarded is not None:
            counts.setdefault(answer.key, [0, 0])[0 if answer.rewarded else 1] += 1
    return [(key, yes, no) for key, (yes, no) in counts.items()]


def _log_odds(votes: Votes) -> float:
    """Return the log likelihood of the coin less that of rewards that follow the answers."""
    yes, no = sum(vote[1] for vote in votes), sum(vote[2] for vote in votes)
    hit, miss = np.log(1 - _FLIP), np.log(_FLIP)
    right, wrong = np.log(1 / (len(votes) + 1)), np.log(len(votes) / (len(votes) + 1))
    follows = sum(
        np.logaddexp(right + a * hit + b * miss, wrong + a * miss + b * hit) for _, a, b in votes
    )
    return float(betaln(1 + yes, 1 + no) - follows)
