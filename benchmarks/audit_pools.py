"""A pool of word problems with planted faults of each kind of `audit`, and simulated rollouts.

Faults are planted in different problems, next to problems that only look like them: traps (most
rollouts make the same mistake), questions that the model knows to answer with yes or no, questions
that announce another answer, rewards that slip, stories that differ in one word that matters,
rollouts of which a third is cut off, and a source whose problems rarely have a signal. Answers are
not drawn from the audit's own model: each problem has three typical mistakes of decreasing
frequency.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import word_problems

Row = dict[str, Any]
#: Problems with each fault, and with each look-alike.
PLANTED = 60
#: Rollouts of a problem; chance that a reward slips.
GROUP, SLIP = 8, 0.01
#: Mean success rate at each level of difficulty, by how strong the simulated model is.
MODELS = {
    "strong": (0.95, 0.9, 0.85, 0.75, 0.6, 0.4),
    "weak": (0.5, 0.35, 0.2, 0.1, 0.05, 0.02),
}
_UNREADABLE = ("\\frac{1}{", "x =", "\\boxed{}", "( )", "= 5 =", "see above", "unknown")
_ANNOUNCED = (
    "Answer: {}", "(The answer is {}.)", "The correct answer is {}.", "#### {}", "$\\boxed{{{}}}$",
    "Solution: {}",
)  # fmt: skip
_OTHER = (
    "If it cannot be known, the answer is {}.", "Hint: the answer is not {}.",
    "Write your answer like this: \\boxed{{{}}}.",
)  # fmt: skip
_NAMES = ("Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Iris", "Jon", "Kim", "Leo", "Mia")


@dataclass
class Planted:
    """A pool, its rollouts, and the problems of which each kind of finding is right."""

    rows: list[Row] = field(default_factory=list)
    rollouts: list[Row] = field(default_factory=list)
    truth: dict[str, set[str]] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    """Problems whose gold is not the right answer."""

    def plant(self, kind: str, row: Row) -> None:
        """Remember that a finding of this kind is right."""
        self.truth.setdefault(kind, set()).add(row["id"])


class _Maker:
    """Makes one pool."""

    def __init__(self, size: int, model: str, seed: int) -> None:
        self.rng, self.rates = random.Random(f"{model}:{seed}"), MODELS[model]
        rows = word_problems.make({"pool": size}, mislabelled=0.0, coins=0.0, seed=seed)["pool"]
        self.clean = [row | {"right": row["answer"]} for row in rows]
        self.pool = Planted()

    def take(self) -> Row:
        """Take a problem that has no fault yet."""
        return self.clean.pop()

    def near(self, answer: str) -> str:
        """Return a number near the right one."""
        return str(int(answer) + self.rng.choice((-10, -2, -1, 1, 2, 10)))

    def add(
        self,
        row: Row,
        *,
        rate: float | None = None,
        trap: bool = False,
        cut: float = 0.02,
        coin: bool = False,
    ) -> None:
        """Add a problem and its rollouts.

        Args:
            row: The problem; ``right`` is its right answer.
            rate: Success rate; by default, around the mean of its level.
            trap: Whether most rollouts make the same mistake.
            cut: Chance that a rollout is cut off before its answer.
            coin: Whether rewards ignore the answer.
        """
        rng, right = self.rng, row["right"]
        if rate is None:
            levels = [level.name for level in word_problems.LEVELS]
            mean = self.rates[levels.index(row["difficulty"])]
            rate = rng.betavariate(3 * mean, 3 * (1 - mean))
        rate = 0.1 if trap else rate
        numbers = re.findall(r"\d+", row["question"]) or ["7", "11"]
        mistakes = [self.near(right), str(sum(map(int, numbers))), rng.choice(numbers)]
        shares = (0.9, 0.05, 0.03, 0.02) if trap else (0.45, 0.2, 0.1, 0.25)
        for _ in range(GROUP):
            other = [*mistakes, str(rng.randint(1, 400))]
            answer = right if rng.random() < rate else rng.choices(other, shares)[0]
            self.rollout(row, answer, cut=rng.random() < cut, coin=coin)
        self.keep(row)

    def rollout(self, row: Row, answer: str, *, cut: bool = False, coin: bool = False) -> None:
        """Add one rollout."""
        reward = float(answer == row["answer"] and not cut)
        if coin:
            reward = float(self.rng.random() < 0.5)
        elif row["source"] != "hopeless" and self.rng.random() < SLIP:
            reward = 1.0 - reward
        text = "First we look at what is given," if cut else f"So the answer is {answer}."
        finish = "length" if cut else "stop"
        self.pool.rollouts.append(
            {"id": row["id"], "completion": text, "reward": reward, "finish_reason": finish}
        )

    def keep(self, row: Row) -> None:
        """Add the problem itself."""
        self.pool.rows.append({key: value for key, value in row.items() if key in _COLUMNS})
        if row["answer"] != row["right"]:
            self.pool.wrong.add(row["id"])


_COLUMNS = ("id", "question", "answer", "source", "difficulty")


def make(size: int, model: str, seed: int) -> Planted:
    """Make a pool.

    Args:
        size: Word problems; others are added.
        model: ``strong`` or ``weak``.
        seed: Of everything.
    """
    maker = _Maker(size, model, seed)
    for part in (_golds, _prompts, _rewards, _copies, _questions, _formats, _sources):
        part(maker)
    for index, row in enumerate(maker.clean):
        maker.add(row, trap=index % 20 == 0)
    pool = maker.pool
    pool.truth["wrong-gold"] = pool.wrong
    order = {row["id"]: maker.rng.random() for row in pool.rows}
    pool.rows.sort(key=lambda row: order[row["id"]])
    return pool


def _golds(maker: _Maker) -> None:
    for _ in range(PLANTED):
        row = maker.take()
        maker.add(row | {"answer": maker.near(row["answer"])})
    for index in range(PLANTED):
        row = maker.take() | {"answer": _UNREADABLE[index % len(_UNREADABLE)]}
        maker.add(row)
        maker.pool.plant("gold-unaccepted", row)


def _prompts(maker: _Maker) -> None:
    for index in range(PLANTED):
        row = maker.take()
        told = _ANNOUNCED[index % len(_ANNOUNCED)].format(row["answer"])
        row["question"] = f"{row['question']} {told}"
        maker.add(row, rate=1.0)
        maker.pool.plant("answer-in-prompt", row)
        other = maker.take()
        text = _OTHER[index % len(_OTHER)].format(maker.near(other["answer"]))
        maker.add(other | {"question": f"{other['question']} {text}"})


def _rewards(maker: _Maker) -> None:
    for _ in range(PLANTED):
        row = maker.take()
        maker.add(row, coin=True)
        maker.pool.plant("unfollowed-reward", row)


def _copies(maker: _Maker) -> None:
    for index in range(PLANTED // 2):
        row = maker.take()
        text = row["question"]
        if index % 2:  # other names: only the answers can tell that it is the same problem
            name = next((name for name in _NAMES if name in text), "How many")
            text = text.replace(name, "Say how many" if name == "How many" else "Zoe")
        else:
            text = text.replace(". ", ", and ", 1).replace("How", "So how")
        copy = row | {"id": f"{row['id']}-copy", "question": text}
        copy["answer"] = maker.near(row["answer"])
        for one in (row, copy):
            maker.add(one)
            maker.pool.plant("copies", one)
    swapped = [row for row in maker.clean if _swapped(row) is not None][:PLANTED]
    for row in swapped:  # the same words but one, and another right answer
        maker.clean.remove(row)
        other = _swapped(row)
        assert other is not None
        maker.add(row)
        maker.add(other)


def _swapped(row: Row) -> Row | None:
    """Let the people who get off a train get on, where that alone changes the answer."""
    match = re.search(r"(\d+) people get off", row["question"])
    if row["source"] != "train" or match is None or "times" in row["question"]:
        return None
    question = row["question"].replace("people get off", "people get on", 1)
    answer = str(int(row["answer"]) + 2 * int(match[1]))
    return row | {"id": f"{row['id']}-on", "question": question, "answer": answer, "right": answer}


def _questions(maker: _Maker) -> None:
    """Add questions to answer with yes or no: half are guessed, half are known."""
    rng = maker.rng
    for index in range(2 * PLANTED):
        guessed = index % 2 == 0
        one, other, bound = rng.randint(100, 999), rng.randint(100, 999), rng.randint(10**4, 10**6)
        question = f"Is {one} times {other} more than {bound}? Answer with yes or no."
        gold = "yes" if one * other > bound else "no"
        row = {"id": f"question-{index}", "question": question, "answer": gold, "right": gold,
               "source": "questions", "difficulty": "yes or no"}  # fmt: skip
        favourite = rng.betavariate(2, 2)
        chance = favourite if guessed else 0.95 if gold == "yes" else 0.05
        for _ in range(GROUP):
            maker.rollout(row, "yes" if rng.random() < chance else "no")
        maker.keep(row)
        if guessed:
            maker.pool.plant("guessable", row)


def _formats(maker: _Maker) -> None:
    for index in range(2 * PLANTED):
        row, lost = maker.take(), index % 2 == 0
        maker.add(row, cut=0.9 if lost else 0.3)
        if lost:
            maker.pool.plant("unparsed", row)


def _sources(maker: _Maker) -> None:
    for index in range(2 * PLANTED):
        row, hopeless = maker.take(), index % 2 == 0
        row["source"] = "hopeless" if hopeless else "rarely solved"
        maker.add(row, rate=0.0 if hopeless else 0.05)
        if hopeless:
            maker.pool.plant("no-signal-kind", row)


def counted(pool: Planted) -> dict[str, int]:
    """Count the planted problems by kind."""
    return dict(Counter({kind: len(names) for kind, names in pool.truth.items()}))
