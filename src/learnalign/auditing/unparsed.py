"""``unparsed``: rollouts without a readable answer, so that p says more about the format."""

from collections.abc import Sequence

from scipy import stats

from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Answer, Problem


def unparsed(problems: Sequence[Problem]) -> list[Finding]:
    """Find problems most of whose rollouts were cut off, or have no answer that can be read.

    A rollout counts if no answer was read in it, or it reached the token limit without a reward.
    The score is the posterior that this happens to more than half of the rollouts (Jeffreys
    prior); listed are problems where it happened to at least half of them, and to two.

    Example:
        >>> lost = tuple(Answer(i, None, False, False, i < 3) for i in range(8))
        >>> unparsed([Problem("a", "", None, "?", "4", lost)])[0].evidence
        '8 of 8 rollouts without a readable answer, 3 of them cut off; success rate 0.00'
    """
    found = []
    for problem in problems:
        lost = [answer for answer in problem.answers if _is_lost(answer)]
        if len(lost) < 2 or 2 * len(lost) < len(problem.answers):
            continue
        kept = len(problem.answers) - len(lost)
        score = float(stats.beta(len(lost) + 0.5, kept + 0.5).sf(0.5))
        cut = sum(answer.truncated for answer in lost)
        evidence = (
            f"{len(lost)} of {len(problem.answers)} rollouts without a readable answer, {cut} of "
            f"them cut off; success rate {problem.success_rate or 0.0:.2f}"
        )
        found.append(Finding(problem.problem_id, score, evidence, sample=lost[0].sample))
    return found


def _is_lost(answer: Answer) -> bool:
    return answer.key is None or (answer.truncated and not answer.rewarded)
