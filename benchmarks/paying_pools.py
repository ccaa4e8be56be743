"""Pools for `paying.py`: how many problems have a signal, and how many are noise."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arithmetic
from arithmetic import Row
from curriculum_pools import HARD

#: Problems that pools are taken from, and problems of a pool.
UNIVERSE, SIZE = 4_000, 1_600
#: Kinds of which most problems have a signal for the tiny model, and their share that has one.
RICH = ("sums of 2 and 1 digits", "sums of 2 digits", "stories", "remainders", "divisors")
RICH_SIGNAL = 0.72


@dataclass(frozen=True)
class Pool:
    """What a pool is made of; shares of its size."""

    signal: float
    """Share of problems with a signal that is aimed at, before noise; the measured one is used."""
    noise: float = 0.0
    """Share of problems that are replaced by noise."""
    kind: str = "none"
    """``mislabelled``: a gold near the right one. ``coin``: a random reward. ``guess``: a small
    number asked for in words, whose gold has nothing to do with the question."""

    @property
    def name(self) -> str:
        """Its name in rows and folders."""
        noise = "" if self.kind == "none" else f"-{self.kind}-{self.noise:.0%}"
        return f"signal-{self.signal:.0%}{noise}".replace("%", "")


def write_universe(folder: Path, *, num_test: int) -> None:
    """Write ``pool.jsonl``, from which pools are taken, and ``test.jsonl``."""
    arithmetic.write(
        folder, size=UNIVERSE, num_test=num_test, num_dev=0, mislabelled=0.0, coins=0.0, seed=2027
    )
    test = folder / "test.jsonl"
    save(test, [row | {"kind": row["source"]} for row in read(test)])


def write(path: Path, pool: Pool, universe: Path, *, seed: int, mixture_signal: float) -> None:
    """Write a pool.

    Args:
        path: The file.
        pool: What it is made of.
        universe: Folder of `write_universe`.
        seed: Seeds all that is random.
        mixture_signal: Share of the mixture's problems that have a signal for the model.
    """
    rng = random.Random(f"{pool.name}:{seed}")
    everything = read(universe / "pool.jsonl")
    rng.shuffle(everything)
    rich = [row for row in everything if row["source"] in RICH]
    if pool.signal <= mixture_signal:
        rows = everything[: round(SIZE * pool.signal / mixture_signal)]
    else:  # a part of only those kinds that mostly have one
        part = (pool.signal - mixture_signal) / (RICH_SIGNAL - mixture_signal)
        rows = rich[: round(SIZE * part)]
        taken = {row["id"] for row in rows}
        rest = [row for row in everything if row["id"] not in taken]
        rows += rest[: SIZE - len(rows)]
    kinds = sorted(HARD)
    for index in range(SIZE - len(rows)):
        kind = kinds[index % len(kinds)]
        rows.append(_row(f"hard-{index}", *HARD[kind](rng), kind))
    for index in rng.sample(range(SIZE), round(pool.noise * SIZE)):
        rows[index] = _noisy(rows[index], pool.kind, rng)
    rng.shuffle(rows)
    save(path, rows)


def _noisy(row: Row, kind: str, rng: random.Random) -> Row:
    if kind == "guess":
        number, divisor = rng.randint(10, 999), rng.randint(3, 9)
        question = f"The remainder of {number} divided by {divisor} is"
        row = _row(f"guess-{row['id']}", question, rng.randint(1, 3), "remainders")
    elif kind == "mislabelled":
        row = row | {"answer": str(int(row["answer"]) + rng.choice((-10, -2, -1, 1, 2, 10)))}
    return row | {"noise": kind}


def _row(name: str, question: str, answer: int, kind: str) -> Row:
    return {"id": name, "question": question, "answer": str(answer), "source": kind,
            "noise": "none"}  # fmt: skip


def save(path: Path, rows: list[Row]) -> None:
    """Write problems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Read problems."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
