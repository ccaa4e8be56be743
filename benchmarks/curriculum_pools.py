"""Pools for `curriculum.py`: generated arithmetic, diluted with hard problems, or with noise."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arithmetic
from arithmetic import Row

#: Held-out problems of the kinds of `arithmetic`, without noise.
NUM_TEST = 320


@dataclass(frozen=True)
class Pool:
    """What a pool is made of; shares of its size, the rest being the mixture of `arithmetic`."""

    size: int
    hard: float = 0.0
    """Problems that the model practically never solves."""
    mislabelled: float = 0.0
    coins: float = 0.0
    """Problems of the mixture with a random reward."""
    guesses: float = 0.0
    """Yes or no questions that the model can only guess; the answer is not noise."""


def _product(rng: random.Random) -> tuple[str, int]:
    one, other = rng.randint(100, 999), rng.randint(100, 999)
    return f"{one} * {other} =", one * other


def _terms(rng: random.Random, count: int, low: int, high: int) -> tuple[str, int]:
    terms = [rng.randint(low, high) for _ in range(count)]
    return " + ".join(map(str, terms)) + " =", sum(terms)


def _difference(rng: random.Random) -> tuple[str, int]:
    small, large = sorted((rng.randint(100, 999), rng.randint(100, 999)))
    return f"{large} - {small} =", large - small


def _guess(rng: random.Random) -> tuple[str, int]:
    one, other = rng.randint(10, 99), rng.randint(10, 99)
    bound = one * other + rng.choice((-1, 1)) * rng.randint(50, 400)
    question = f"Is {one} * {other} more than {bound}? 1 for yes, 0 for no:"
    return question, int(one * other > bound)


#: Kinds of which the model solves 0 to 0.4 % of the rollouts.
HARD: dict[str, Callable[[random.Random], tuple[str, int]]] = {
    "sums of 4 digits": lambda rng: _terms(rng, 2, 1000, 9999),
    "products of 3 digits": _product,
    "three terms of 3 digits": lambda rng: _terms(rng, 3, 100, 999),
    "differences of 3 digits": _difference,
}


def write(folder: Path, pool: Pool, *, seed: int) -> None:
    """Write ``pool.jsonl`` and ``test.jsonl``; they share no question.

    Args:
        folder: Output folder.
        pool: What to write.
        seed: Seeds the problems, of both files.
    """
    hard, guesses = round(pool.hard * pool.size), round(pool.guesses * pool.size)
    mixture = pool.size - hard - guesses
    arithmetic.write(
        folder,
        size=mixture + 100,  # kinds that run out of questions leave some out
        num_test=NUM_TEST + 50,
        num_dev=0,
        mislabelled=0.0,
        coins=0.0,
        seed=seed,
    )
    rng = random.Random(seed)
    rows = _read(folder / "pool.jsonl")[:mixture]
    assert len(rows) == mixture
    kinds = sorted(HARD)
    for index in range(hard):
        rows.append(_row(f"hard-{index}", kinds[index % len(kinds)], rng))
    rows += [_row(f"guess-{index}", "guesses", rng) for index in range(guesses)]
    noisy = rng.sample(range(mixture), round((pool.mislabelled + pool.coins) * pool.size))
    wrong = round(pool.mislabelled * pool.size)
    for index in noisy[:wrong]:
        rows[index]["noise"] = "mislabelled"
        offset = rng.choice((-10, -2, -1, 1, 2, 10))
        rows[index]["answer"] = str(int(rows[index]["answer"]) + offset)
    for index in noisy[wrong:]:
        rows[index]["noise"] = "coin"
    rng.shuffle(rows)
    _write(folder / "pool.jsonl", rows)
    _write(folder / "test.jsonl", _read(folder / "test.jsonl")[:NUM_TEST])
    (folder / "dev.jsonl").unlink()


def _row(name: str, kind: str, rng: random.Random) -> Row:
    question, answer = _guess(rng) if kind == "guesses" else HARD[kind](rng)
    noise = "guess" if kind == "guesses" else "none"
    row = {"id": name, "question": question, "answer": str(answer)}
    return row | {"kind": kind, "noise": noise}


def _read(path: Path) -> list[Row]:
    """Read rows; their kind is not called source, which a curriculum would use."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"kind" if key == "source" else key: row[key] for key in row} for row in rows]


def _write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def reward(
    completions: list[str],
    id: list[str],
    answer: list[str],
    noise: list[str],
    trainer_state: Any = None,
    **_: Any,
) -> list[float]:
    """Compare numbers; the reward of a ``coin`` is random for each step, text and occurrence."""
    step = getattr(trainer_state, "global_step", 0)
    return arithmetic.reward(completions, [f"{name}:{step}" for name in id], answer, noise)
