"""Shared by all benchmarks: figures with goals, a printed table, and a JSON file."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from machine import machine

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Figure:
    """One measured number; ``goal`` is optional."""

    value: float
    unit: str
    better: Literal["lower", "higher"]
    spread: float | None = None
    goal: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the goal was missed."""
        if self.goal is None:
            return False
        return self.value > self.goal if self.better == "lower" else self.value < self.goal


class Lines:
    """Finished rows of a long benchmark: one JSON line each, appended when it is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def has(self, **wanted: Any) -> bool:
        """Whether there is a row with these values."""
        return any(row.items() >= wanted.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def publish(
    name: str,
    begin: float,
    figures: dict[str, Figure],
    rows: list[dict[str, Any]],
    *,
    command: str | None = None,
    folder: Path = ROOT / "benchmarks" / "results",
    show: bool = True,
) -> None:
    """Print the figures and write ``benchmarks/results/NAME.json``.

    The file also describes the machine and software (`machine.machine`).

    Args:
        name: Name of the benchmark.
        begin: ``time.monotonic()`` at its start.
        figures: Figures by name.
        rows: The data behind the figures.
        command: The command, if it is not ``make bench NAME=name``.
        folder: Folder of the JSON file.
        show: Whether to print the figures.
    """
    about = machine(ROOT)
    result = {
        "command": command or f"make bench NAME={name}",
        "commit": about["learnalign"]["commit"],
        "machine": about,
        "seconds": round(time.monotonic() - begin, 1),
        "figures": {key: asdict(figure) for key, figure in figures.items()},
        "rows": rows,
    }
    for key, figure in figures.items() if show else ():
        spread = "" if figure.spread is None else f" +- {figure.spread:.4g}"
        goal = "" if figure.goal is None else f"  goal {figure.goal:.4g}"
        status = "  MISSED" if figure.missed else ""
        sys.stdout.write(f"{key:40} {figure.value:.4g}{spread} {figure.unit}{goal}{status}\n")
    path = folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
