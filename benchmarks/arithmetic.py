"""Generate arithmetic problems from too easy to impossible, some with noise.

Like a real pool, it contains problems that a small model always or never solves, wrong gold
answers, and problems with random rewards. Every row has its kind (``source``) and its noise:
``none``, ``mislabelled`` or ``coin``. Pool, development and test sets share no question.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from math import gcd
from pathlib import Path
from typing import Any

Row = dict[str, Any]
#: A solved example, then the problem: a model with 135 million parameters needs the example.
TEMPLATE = "2 + 3 = 5\n{{ row.question }} "
STOP = ("\n", ".", " ", ",")
NUMBER = re.compile(r"[0-9]+")
_NAMES = ("Ann", "Ben", "Lucy", "Sam", "Tom")
_THINGS = ("apples", "books", "cards", "coins", "pens")


def _sum(rng: random.Random, *ranges: tuple[int, int]) -> tuple[str, int]:
    terms = [rng.randint(*bounds) for bounds in ranges]
    return " + ".join(map(str, terms)) + " =", sum(terms)


def _difference(rng: random.Random) -> tuple[str, int]:
    small, large = sorted((rng.randint(10, 99), rng.randint(10, 99)))
    return f"{large} - {small} =", large - small


def _product(rng: random.Random, low: int, high: int) -> tuple[str, int]:
    one, other = rng.randint(11, 99), rng.randint(low, high)
    return f"{one} * {other} =", one * other


def _sequence(rng: random.Random) -> tuple[str, int]:
    first, step = rng.randint(1, 60), rng.randint(2, 12)
    return ", ".join(str(first + k * step) for k in range(4)) + ",", first + 4 * step


def _remainder(rng: random.Random) -> tuple[str, int]:
    number, divisor = rng.randint(10, 99), rng.randint(3, 9)
    return f"The remainder of {number} divided by {divisor} is", number % divisor


def _divisor(rng: random.Random) -> tuple[str, int]:
    one, other = rng.randint(4, 60), rng.randint(4, 60)
    return f"The greatest common divisor of {one} and {other} is", gcd(one, other)


def _story(rng: random.Random) -> tuple[str, int]:
    have, more = rng.randint(10, 89), rng.randint(3, 60)
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    return f"{name} has {have} {thing} and gets {more} more: {have} + {more} =", have + more


#: For each kind, its share of a pool in per cent, and a function that generates a problem.
KINDS: dict[str, tuple[int, Callable[[random.Random], tuple[str, int]]]] = {
    "small sums": (3, lambda rng: _sum(rng, (1, 9), (1, 19))),
    "sums of 2 and 1 digits": (10, lambda rng: _sum(rng, (10, 99), (1, 9))),
    "sums of 2 digits": (17, lambda rng: _sum(rng, (10, 99), (10, 99))),
    "sums of 3 digits": (10, lambda rng: _sum(rng, (100, 999), (100, 999))),
    "three terms": (10, lambda rng: _sum(rng, (1, 20), (1, 20), (1, 9))),
    "differences": (10, _difference),
    "products by 1 digit": (8, lambda rng: _product(rng, 2, 9)),
    "products by 2 digits": (6, lambda rng: _product(rng, 11, 99)),
    "sequences": (8, _sequence),
    "remainders": (6, _remainder),
    "divisors": (4, _divisor),
    "stories": (8, _story),
}


def key(kind: str, question: str) -> str:
    """Return a key that questions share if they only differ in the order of terms."""
    return f"{kind}: {sorted(NUMBER.findall(question))}"


def _questions(kind: str, rng: random.Random, seen: set[str]) -> Iterator[tuple[str, int]]:
    """Yield unused questions of a kind; the order of terms does not matter."""
    failures = 0
    while failures < 200:
        question, answer = KINDS[kind][1](rng)
        name = key(kind, question)
        if name in seen:
            failures += 1
            continue
        failures = 0
        seen.add(name)
        yield question, answer


def _part(
    name: str, size: int, kinds: Sequence[str], rng: random.Random, seen: set[str]
) -> list[Row]:
    rows: list[Row] = []
    whole = sum(KINDS[kind][0] for kind in kinds)
    for kind in kinds:
        count = size * KINDS[kind][0] // whole
        source = _questions(kind, rng, seen)
        for (question, answer), _number in zip(source, range(count), strict=False):
            rows.append(
                {
                    "id": f"{name}-{len(rows)}",
                    "question": question,
                    "answer": str(answer),
                    "source": kind,
                    "noise": "none",
                }
            )
    return rows


def write(
    folder: Path,
    *,
    size: int,
    num_test: int,
    num_dev: int,
    kinds: Sequence[str] = tuple(KINDS),
    mislabelled: float = 0.05,
    coins: float = 0.05,
    seed: int = 0,
) -> None:
    """Write ``pool.jsonl``, ``test.jsonl`` and ``dev.jsonl``.

    Args:
        folder: Output folder.
        size: Number of problems in the pool, if the kinds have enough questions.
        num_test: Number of clean test problems.
        num_dev: Number of clean development problems.
        kinds: Names from KINDS, used in their proportions.
        mislabelled: Share of the pool with a wrong gold answer.
        coins: Share of the pool with random rewards.
        seed: Random seed.
    """
    rng, seen = random.Random(seed), set[str]()
    sizes = {"test": num_test, "dev": num_dev, "pool": size}
    parts = {name: _part(name, count, kinds, rng, seen) for name, count in sizes.items()}
    order = list(range(len(parts["pool"])))
    rng.shuffle(order)
    first, second = round(mislabelled * len(order)), round((mislabelled + coins) * len(order))
    for index in order[:first]:
        row = parts["pool"][index]
        row["noise"] = "mislabelled"
        row["answer"] = str(int(row["answer"]) + rng.choice((-10, -2, -1, 1, 2, 10)))
    for index in order[first:second]:
        parts["pool"][index]["noise"] = "coin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        rng.shuffle(rows)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def reward(
    completions: list[str], id: list[str], answer: list[str], noise: list[str], **_: Any
) -> list[float]:
    """Compare numbers; return a random reward for problems with the noise ``coin``.

    The random reward depends on the problem, the text and how often the text occurred before in the
    group. Runs are reproducible, and a policy cannot learn anything that changes the mean reward.
    """
    occurrences: dict[str, int] = {}
    rewards = []
    for text, name, gold, kind in zip(completions, id, answer, noise, strict=True):
        count = occurrences[text] = occurrences.get(text, 0) + 1
        if kind == "coin":
            digest = hashlib.sha256(f"{name}:{text}:{count}".encode()).digest()
            rewards.append(float(digest[0] & 1))
        else:
            match = re.match(r"\s*(-?\d+)", text)
            rewards.append(float(match is not None and match.group(1) == gold))
    return rewards
