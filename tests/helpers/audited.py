"""Problems with the answers of imagined rollouts, for the audit's tests."""

from collections.abc import Sequence

from learnalign.auditing.problem import Answer, Problem


def problem(
    name: str,
    gold: str,
    answers: Sequence[str | None],
    *,
    rewards: Sequence[bool | None] | None = None,
    question: str = "",
    source: str = "s",
    difficulty: str | None = None,
    truncated: int = 0,
) -> Problem:
    """Make a problem; rewards are those of the gold unless others are given."""
    given = [answer == gold for answer in answers] if rewards is None else list(rewards)
    rows = [
        Answer(sample, answer, answer == gold, reward, sample < truncated)
        for sample, (answer, reward) in enumerate(zip(answers, given, strict=True))
    ]
    return Problem(name, source, difficulty, question or f"question {name}", gold, tuple(rows))
