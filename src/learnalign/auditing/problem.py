"""What the audit knows about a problem: its question, its gold, and what each rollout answered."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from learnalign.problems.chats import question_of
from learnalign.problems.texts import gold_key
from learnalign.tables import golds


class Answer(NamedTuple):
    """What one rollout answered."""

    sample: int
    key: str | None
    """Equal answers share it (`answer_key`); None if no answer could be read."""
    is_gold: bool
    """Whether a verifier takes it for the gold."""
    rewarded: bool | None
    """Whether the run's reward was above 0.5; None without a reward."""
    truncated: bool


@dataclass(frozen=True)
class Problem:
    """A problem of the pool with the answers of its rollouts."""

    problem_id: str
    source: str
    difficulty: str | None
    question: str
    gold: str
    answers: tuple[Answer, ...]

    @property
    def gold_key(self) -> str:
        """The key that answers equal to the gold have."""
        return answer_key(golds(self.gold)[0])

    @property
    def counts(self) -> Counter[str]:
        """How many rollouts gave each answer that could be read, by key."""
        gold = self.gold_key
        return Counter(
            gold if answer.is_gold else answer.key
            for answer in self.answers
            if answer.key is not None
        )

    @property
    def success_rate(self) -> float | None:
        """The share of the rewarded rollouts among those with a reward; None without any."""
        rewards = [answer.rewarded for answer in self.answers if answer.rewarded is not None]
        return sum(rewards) / len(rewards) if rewards else None


def answer_key(text: str) -> str:
    r"""Return a form that equal answers share; different answers may also be written alike.

    Example:
        >>> [answer_key(text) for text in ("1,200", "Yes", r"\frac{1}{2}", "{7}")]
        ['1200', 'yes', '1/2', '7']
    """
    key = gold_key(text).casefold()
    inner = key[1:-1]
    return inner if key[:1] + key[-1:] == "{}" and not re.search("[{},]", inner) else key


def problems_of(
    problems: Iterable[Mapping[str, Any]],
    verdicts: Iterable[Mapping[str, Any]],
    answers: Iterable[Mapping[str, Any]] | None = None,
    truncated: frozenset[tuple[str, int]] = frozenset(),
) -> list[Problem]:
    """Collect what the audit looks at.

    Args:
        problems: Rows of PROBLEMS: ``problem_id, source, difficulty, messages, answer``.
        verdicts: Rows of VERDICTS: ``problem_id, sample, verdict, reward``, and the answers unless
            ``answers`` has them.
        answers: Rows of VERDICTS by a verifier that reads answers, where the run's rewards came
            from elsewhere; the rows of ``verdicts``, in their order.
        truncated: (problem_id, sample) of the rollouts that reached the token limit.

    Example:
        >>> problem = {"problem_id": "a", "source": "s", "difficulty": None, "answer": "4"}
        >>> problem |= {"messages": [{"role": "user", "content": "2 + 2 ="}]}
        >>> verdict = {"problem_id": "a", "sample": 0, "verdict": "wrong", "reward": 0.0}
        >>> found = problems_of([problem], [verdict | {"parsed_answer": "5"}])
        >>> found[0].question, found[0].counts
        ('2 + 2 =', Counter({'5': 1}))
    """
    verdicts = list(verdicts)
    by_problem: dict[str, list[Answer]] = {}
    for verdict, read in zip(verdicts, verdicts if answers is None else answers, strict=True):
        name, sample = verdict["problem_id"], verdict["sample"]
        parsed = read["parsed_answer"]
        rewarded = None if verdict["reward"] is None else verdict["reward"] > 0.5
        by_problem.setdefault(name, []).append(
            Answer(
                sample,
                None if parsed is None else answer_key(parsed),
                read["verdict"] == "correct",
                rewarded,
                (name, sample) in truncated,
            )
        )
    return [
        Problem(
            row["problem_id"],
            row["source"] or "",
            row["difficulty"],
            question_of(row["messages"]),
            row["answer"] or "",
            tuple(by_problem.get(row["problem_id"], ())),
        )
        for row in problems
    ]
