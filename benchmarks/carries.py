"""Which problems a selection method misses: sums with and without carries.

Reads the cells of ``learnalign_vs.py --preset one-kind``, which has a single kind of problem: sums
of two 2-digit numbers. A careless policy solves those without a carry. There are four patterns: no
carry, a carry from the ones, from the tens, or from both.
"""

import json
import re
import statistics
import time
from collections import Counter, defaultdict
from typing import Any

import pyarrow.parquet as pq

from harness import ROOT, Figure, publish

WORK = ROOT / "runs" / "vs" / "one-kind"
PATTERNS = ("nothing", "ones", "tens", "both")


def pattern(question: str) -> str:
    """Return the pattern of carries in a sum."""
    one, other = map(int, re.findall(r"\d+", question))
    ones, tens = one % 10 + other % 10 > 9, one + other > 99
    return {(0, 0): "nothing", (1, 0): "ones", (0, 1): "tens", (1, 1): "both"}[ones, tens]


def main() -> None:
    """Tabulate all finished cells."""
    begin = time.monotonic()
    questions = {}
    for name in ("pool", "test"):
        for line in (WORK / "data" / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            questions[row["id"]] = pattern(row["question"])
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(WORK.glob("cells/*/row.json")):
        cell = json.loads(file.read_text())
        scores: dict[str, list[float]] = defaultdict(list)
        table = pq.read_table(file.parent / "evaluation" / "greedy" / "evaluation.parquet")
        for row in table.to_pylist():
            scores[questions[row["problem_id"]]].append(row["score"])
        chosen = Counter(questions[i] for i in (file.parent / "ids.txt").read_text().split())
        total = sum(chosen.values())
        shares = {f"chosen: {name}": chosen[name] / total for name in PATTERNS}
        scores["something"] = [x for name in PATTERNS[1:] for x in scores[name]]
        solved = {f"solved: {name}": statistics.mean(values) for name, values in scores.items()}
        by_method[cell["method"]].append(shares | solved)
    rows, figures = [], {}
    for method, cells in by_method.items():
        row = {name: statistics.mean(cell[name] for cell in cells) for name in sorted(cells[0])}
        rows.append({"method": method, "num_seeds": len(cells), **row})
        for name in ("chosen: nothing", "solved: nothing"):
            spread = statistics.pstdev(cell[name] for cell in cells)
            figures[f"{method}, {name}"] = Figure(row[name], "", "higher", spread)
    publish("carries", begin, figures, rows)


if __name__ == "__main__":
    main()
