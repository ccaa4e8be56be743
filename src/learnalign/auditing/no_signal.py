"""``no-signal-kind``: sources and difficulties in which no problem has a signal at all."""

from collections.abc import Sequence

from learnalign.auditing.finding import Finding
from learnalign.auditing.problem import Problem
from learnalign.reporting.formatting import percent
from learnalign.selecting.statistics.success_rates import jeffreys_interval

#: The fewest problems from which a kind is listed.
_LEAST = 10


def kinds_without_signal(problems: Sequence[Problem]) -> list[Finding]:
    """Find the sources, and the difficulties within the others, without any signal.

    A problem has a signal if some of its rollouts are rewarded and others are not. The score is 1
    minus the upper end of the 95 % Jeffreys interval of the share with a signal; a kind needs ten
    problems.

    Example:
        >>> from learnalign.auditing.problem import Answer
        >>> wrong = tuple(Answer(i, "1", False, False, False) for i in range(4))
        >>> pool = [Problem(f"p{i}", "hard", None, "?", "4", wrong) for i in range(20)]
        >>> kinds_without_signal(pool)[0].evidence
        "none of 20 problems of 'hard' has a signal (at most 11.7 %); 0 always solved, 20 never"
    """
    judged = [problem for problem in problems if problem.success_rate is not None]
    found: list[Finding] = []
    sources: dict[str, list[Problem]] = {}
    for problem in judged:
        sources.setdefault(problem.source, []).append(problem)
    for source, members in sources.items():
        if _none(members):
            found += _findings(source, members)
            continue
        levels: dict[str, list[Problem]] = {}
        for problem in members:
            if problem.difficulty is not None:
                levels.setdefault(problem.difficulty, []).append(problem)
        for level, part in levels.items():
            if _none(part):
                found += _findings(f"{source}, {level}", part)
    return found


def _none(members: list[Problem]) -> bool:
    rates = [problem.success_rate for problem in members]
    return len(members) >= _LEAST and all(rate in (0.0, 1.0) for rate in rates)


def _findings(name: str, members: list[Problem]) -> list[Finding]:
    high = float(jeffreys_interval([0], len(members))[1][0])
    solved = sum(problem.success_rate == 1.0 for problem in members)
    evidence = (
        f"none of {len(members)} problems of '{name}' has a signal (at most {percent(high)}); "
        f"{solved} always solved, {len(members) - solved} never"
    )
    return [Finding(problem.problem_id, 1.0 - high, evidence, group=name) for problem in members]
