"""Generated word problems of two to four operations, with worked solutions of 50 to 150 tokens.

What a small model that reasons can be trained and selected on: stories whose numbers are small
enough for it, in six levels from mostly solved to rarely solved. Every row has its kind
(``source``), its level (``difficulty``), its calculation (``expression``), a worked ``solution``
and its noise: ``none``, ``mislabelled`` or ``coin``. The parts share no calculation: the same
numbers under other names are the same problem.

    python benchmarks/word_problems.py OUT
"""

import argparse
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import arithmetic
import word_stories
from learnalign.verifying.judges import number
from word_chains import Problem

Row = dict[str, Any]
#: Problems for fine-tuning, for testing and for choosing settings, and the pool to select from.
SIZES = {"test": 1500, "dev": 400, "pool": 2400, "train": 6000}
#: How a solution ends; the verifiers ``number`` and ``math`` read it.
ENDING = "The answer is {answer}."


@dataclass(frozen=True)
class Level:
    """How hard a problem is."""

    num_steps: int
    """Operations."""
    largest: int
    """Bound of the numbers that are added and of the prices (money paid with may be more)."""

    @property
    def name(self) -> str:
        """Its name in ``difficulty``."""
        return f"{self.num_steps} steps to {self.largest}"


LEVELS = (Level(2, 9), Level(2, 30), Level(3, 9), Level(3, 30), Level(4, 12), Level(4, 60))
#: Each kind makes a problem of any level.
KINDS: dict[str, Callable[[random.Random, int, int], Problem]] = word_stories.KINDS


def solution(problem: Problem) -> str:
    """Return the worked solution: a line a step, then the answer."""
    return "\n".join([*problem.lines, ENDING.format(answer=problem.answer)])


def key(row: Mapping[str, Any]) -> str:
    """Name a problem by its kind and calculation."""
    return f"{row['source']}: {row['expression']}"


def rows(name: str, count: int, rng: random.Random, seen: set[str]) -> list[Row]:
    """Make ``count`` problems that are not in ``seen``, as many of each kind and level; add them.

    A kind and level that has no new problem left gives its share to the next.
    """
    cells = [(kind, level) for level in LEVELS for kind in KINDS]
    made: list[Row] = []
    failures = 0
    for kind, level in cycle(cells):
        if len(made) == count:
            break
        row = _new(kind, level, rng, seen)
        failures = 0 if row is not None else failures + 1
        if row is not None:
            made.append({"id": f"{name}-{len(made)}", **row})
        elif failures == len(cells):
            raise ValueError(f"there are no {count} problems of the part {name} that are all new")
    rng.shuffle(made)
    return made


def _new(kind: str, level: Level, rng: random.Random, seen: set[str]) -> Row | None:
    for _ in range(50):
        problem = KINDS[kind](rng, level.num_steps, level.largest)
        row = {
            "question": problem.question,
            "answer": str(problem.answer),
            "solution": solution(problem),
            "expression": problem.expression,
            "source": kind,
            "difficulty": level.name,
            "noise": "none",
        }
        if key(row) not in seen:
            seen.add(key(row))
            return row
    return None


def make(
    sizes: Mapping[str, int] = SIZES,
    *,
    mislabelled: float = 0.05,
    coins: float = 0.05,
    seed: int = 0,
) -> dict[str, list[Row]]:
    """Make the parts.

    Args:
        sizes: Problems of each part; only ``pool`` gets noise.
        mislabelled: Share of the pool whose gold answer is wrong.
        coins: Share of the pool whose reward is a coin's.
        seed: Of everything.

    Returns:
        The rows of each part.
    """
    rng, seen = random.Random(seed), set[str]()
    parts = {name: rows(name, count, rng, seen) for name, count in sizes.items()}
    pool = parts.get("pool", [])
    order = rng.sample(pool, len(pool))
    first, second = round(mislabelled * len(pool)), round((mislabelled + coins) * len(pool))
    for row in order[:first]:
        row["noise"] = "mislabelled"
        row["answer"] = str(int(row["answer"]) + rng.choice((-10, -2, -1, 1, 2, 10)))
    for row in order[first:second]:
        row["noise"] = "coin"
    return parts


def write(folder: Path, sizes: Mapping[str, int] = SIZES, **options: Any) -> None:
    """Write each part as ``NAME.jsonl``; see `make`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in make(sizes, **options).items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def reward(
    completions: list[str], id: list[str], answer: list[str], noise: list[str], **_: Any
) -> list[float]:
    """Judge by the verifier ``number``; toss a coin where that is what the problem does."""
    coins = arithmetic.reward(completions, id, answer, noise)
    return [
        coin if kind == "coin" else float(_is_right(gold, text))
        for coin, kind, gold, text in zip(coins, noise, answer, completions, strict=True)
    ]


def _is_right(gold: str, text: str) -> bool:
    parsed = number.parse_gold(gold)
    return parsed is not None and number.judge(parsed, text).verdict == "correct"


def main() -> None:
    """Write the problems of ``learnalign_vs.py --preset steps``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    write(given.out, seed=given.seed)


if __name__ == "__main__":
    main()
