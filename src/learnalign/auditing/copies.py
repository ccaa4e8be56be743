"""``copies``: nearly the same question, with different golds: one of them is wrong."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learnalign.auditing.answer_space import chosen_option
from learnalign.auditing.finding import Finding
from learnalign.auditing.near_copies import different_words, similar_pairs
from learnalign.auditing.problem import Problem, answer_key
from learnalign.verifying.answers.options import options_in

#: The similarity from which a pair is listed.
LISTED = 0.6
#: Rewarded rollouts of a solved problem; words that may differ if the model answers both alike.
_SOLVED, _WORDS = 0.5, 3
_CONFLICT = "conflicting_answer"


def conflicting_copies(
    problems: Sequence[Problem], excluded: Iterable[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Find problems that are nearly copies of others, and have other golds.

    The score is the similarity of the questions (`near_copies`), 1 for exact copies, of which the
    second has left the pool. Copies have the same numbers and the same words, except for articles,
    conjunctions and markup: "how many large rooms" and "how many small rooms" are different
    problems. Up to three other words may differ (half the score) if most rollouts of both give the
    same answer. A pair is not listed if most rollouts of both are rewarded by their different
    golds. Golds that name an option are compared by its text.

    Args:
        problems: The pool.
        excluded: Rows of EXCLUDED, for exact copies.

    Example:
        >>> from dataclasses import replace
        >>> text = "Ann has 3 red apples and buys 4 more at the market. How many has she now?"
        >>> pool = [Problem("a", "", None, text, "7", ()),
        ...     Problem("b", "", None, text.replace("market", "shop"), "12", ())]
        >>> [finding.evidence for finding in conflicting_copies(pool)]
        []
        >>> pool[1] = replace(pool[1], question=text.replace("and buys", "then buys"))
        >>> [finding.evidence for finding in conflicting_copies(pool)]
        ["gold '7', and '12' in b, 67 % alike", "gold '12', and '7' in a, 67 % alike"]
    """
    best: dict[str, tuple[float, str]] = {}
    groups = _Groups()

    def add(name: str, score: float, evidence: str) -> None:
        best[name] = max(best.get(name, (0.0, "")), (score, evidence))

    known = {problem.problem_id: problem for problem in problems}
    for row in excluded:
        # The detail is "of ID: 'gold', not 'gold'".
        first = row["detail"].removeprefix("of ").partition(": ")[0] if row["detail"] else ""
        if row["reason"] == _CONFLICT and first in known:
            name = row["problem_id"]
            others = row["detail"].partition(": ")[2]
            add(first, 1.0, f"gold '{known[first].gold}', and an exact copy says {others}")
            add(name, 1.0, f"an exact copy {row['detail']}")
            groups.join(first, name)
    for pair in similar_pairs([problem.question for problem in problems], least=LISTED):
        one, other = problems[pair.first], problems[pair.second]
        if _gold(one) == _gold(other) or (_is_solved(one) and _is_solved(other)):
            continue
        differing = different_words(one.question, other.question)
        if differing and (differing > _WORDS or _favourite(one) != (_favourite(other) or "")):
            continue
        score = pair.similarity / (2 if differing else 1)
        for this, that in ((one, other), (other, one)):
            alike = f"{100 * pair.similarity:.0f} % alike"
            evidence = f"gold '{this.gold}', and '{that.gold}' in {that.problem_id}, {alike}"
            add(this.problem_id, score, evidence)
        groups.join(one.problem_id, other.problem_id)
    return [
        Finding(name, score, evidence, group=groups.of(name))
        for name, (score, evidence) in best.items()
    ]


def _gold(problem: Problem) -> str:
    """Return what golds are compared by: an option's text, else the gold itself."""
    option = chosen_option(problem, options_in(problem.question))
    return problem.gold_key if option is None else answer_key(option)


def _is_solved(problem: Problem) -> bool:
    return (problem.success_rate or 0.0) >= _SOLVED


def _favourite(problem: Problem) -> str | None:
    """Return the answer of more than half of the rollouts; None if there is none."""
    ((answer, count),) = problem.counts.most_common(1) or (("", 0),)
    return answer if 2 * count > len(problem.answers) else None


class _Groups:
    """Names that were joined, directly or through others, share a first name."""

    def __init__(self) -> None:
        self.above: dict[str, str] = {}

    def of(self, name: str) -> str:
        while self.above.get(name, name) != name:
            name = self.above[name]
        return name

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.of(one), self.of(other)))
        self.above[second] = first
