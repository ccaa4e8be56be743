"""Compare the evaluations of run.sh: each training's accuracy, and what the selection buys.

    python3 recipes/gsm8k-qwen2.5-1.5b/compare.py runs/gsm8k-qwen2.5-1.5b

Prints two tables and keeps them as ``comparison.md``. With several seeds a problem's score is its
mean over them; intervals are over problems.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from learnalign.evaluating.accuracy import accuracy, difference
from learnalign.storage import files

Scores = dict[str, float]


def main(out: Path) -> None:
    """Compare what there is in the folder of run.sh."""
    base = read_scores(out / "base")
    runs: dict[str, list[Scores]] = defaultdict(list)
    for place in sorted(out.glob("seed-*/*/evaluation")):
        if (place / "evaluation.parquet").is_file():
            runs[place.parent.name].append(read_scores(place))
    text = accuracies(base, runs) + pairs(runs)
    files.write_text(out / "comparison.md", text)
    print(text)


def read_scores(evaluation: Path) -> Scores:
    """Read each problem's greedy score."""
    table = pq.read_table(evaluation / "evaluation.parquet", filters=[("mode", "=", "pass@1")])
    ids, scores = table["problem_id"].to_pylist(), table["score"].to_pylist()
    return dict(zip(ids, scores, strict=True))


def accuracies(base: Scores, runs: dict[str, list[Scores]]) -> str:
    """Write the table of accuracies, each with its difference to the model as it was."""
    lines = [
        "| trained on | seeds | accuracy (95 %) | to the base model (95 %) |",
        "| --- | --- | --- | --- |",
        f"| nothing | | {_accuracy(base)} | |",
    ]
    for name in sorted(runs, key=_order):
        mean = over_seeds(runs[name])
        lines.append(f"| {name} | {len(runs[name])} | {_accuracy(mean)} | {_gap(mean, base)} |")
    return "\n".join(lines) + "\n"


def pairs(runs: dict[str, list[Scores]]) -> str:
    """Write how much each selection gains over as many random problems, and over all."""
    lines = []
    for name in sorted(runs, key=_order):
        kind, _, budget = name.partition("-")
        for other in (f"random-{budget}", "all") if kind == "selected" else ():
            if other in runs:
                gap = _gap(over_seeds(runs[name]), over_seeds(runs[other]))
                lines.append(f"| {name} | {other} | {gap} |")
    head = ["", "| trained on | against | difference (95 %) |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines]) + "\n" if lines else ""


def over_seeds(runs: list[Scores]) -> Scores:
    """Average each problem's score over the seeds."""
    return {name: float(np.mean([scores[name] for scores in runs])) for name in runs[0]}


def _order(name: str) -> tuple[int, str]:
    """Sort by the number of problems, all of them last."""
    kind, _, budget = name.partition("-")
    return (int(budget) if budget.isdigit() else sys.maxsize, kind)


def _accuracy(scores: Scores) -> str:
    found = accuracy(list(scores.values()))
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f}) of {found.num_problems}"


def _gap(scores: Scores, others: Scores) -> str:
    shared = [name for name in scores if name in others]
    found = difference([scores[n] for n in shared], [others[n] for n in shared])
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}), p = {found.p_value:.2g}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
