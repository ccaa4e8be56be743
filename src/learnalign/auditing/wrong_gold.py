"""``wrong-gold``: the model's answers agree with each other, and not with the gold."""

from collections.abc import Sequence

from learnalign.auditing.agreement import Pattern, fitted
from learnalign.auditing.answer_space import answer_spaces
from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Problem

#: The posterior from which a problem is listed.
LISTED = 0.5


def wrong_golds(problems: Sequence[Problem]) -> list[Finding]:
    """Find golds that are probably wrong.

    Problems with few possible answers agree by chance, and are compared with each other alone
    (`answer_space`). The score is the posterior that the gold is wrong (`agreement`).

    Example:
        >>> from learnalign.auditing.problem import Answer
        >>> ask = lambda name, gold: Problem(name, "s", None, name, gold, tuple(
        ...     Answer(sample, "7", gold == "7", gold == "7", False) for sample in range(8)))
        >>> pool = [ask(f"p{i}", "7" if i else "8") for i in range(40)]
        >>> [(finding.problem_id, finding.evidence) for finding in wrong_golds(pool)]
        [('p0', "8 of 8 rollouts answer '7', 0 the gold '8'")]
    """
    spaces = answer_spaces(problems)
    found = []
    for closed in (False, True):
        part = [p for p, space in zip(problems, spaces, strict=True) if (space is None) != closed]
        patterns = [pattern(problem) for problem in part]
        known = [found for found in patterns if found[0] + sum(found[1])]
        if not known:
            continue
        posterior = fitted(known).wrong
        for problem, seen in zip(part, patterns, strict=True):
            if posterior.get(seen, 0.0) >= LISTED:
                found.append(_finding(problem, posterior[seen]))
    return found


def pattern(problem: Problem) -> Pattern:
    """Return how a problem's answers agree.

    Example:
        >>> from learnalign.auditing.problem import Answer
        >>> answers = [Answer(i, key, key == "4", None, False) for i, key in enumerate("45544")]
        >>> pattern(Problem("a", "", None, "2 + 2 =", "4", tuple(answers)))
        (3, (2,))
    """
    counts = problem.counts
    gold = counts.pop(problem.gold_key, 0)
    return gold, tuple(sorted(counts.values(), reverse=True))


def _finding(problem: Problem, posterior: float) -> Finding:
    counts = problem.counts
    total, gold = sum(counts.values()), counts.pop(problem.gold_key, 0)
    answer, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    evidence = f"{count} of {total} rollouts answer '{answer}', {gold} the gold '{problem.gold}'"
    sample = next(a.sample for a in problem.answers if a.key == answer and not a.is_gold)
    return Finding(problem.problem_id, posterior, evidence, sample=sample)
