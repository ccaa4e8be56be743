"""Adaptive rollouts on the demo's real pool: how many are used, and whether the selection changes.

The demo's problems and model, with 16 rollouts per problem. For each of three seeds: all rollouts,
and ``--rollouts auto`` with the same seed. The samples of ``auto`` are a subset
(tests/pipeline/test_adaptive.py), so they are reused and only the gradients are computed again.
The overlap of auto's selection with another seed's full selection is then compared with the
overlap of two full selections.

Interrupted benchmarks resume: the runs are in ``runs/adaptive-demo``.
"""

import argparse
import itertools
import statistics
import sys
import time
from typing import Any

from harness import ROOT, Figure, publish
from learnalign.config.load import load_config
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import Selection, run

SEEDS, GROUP, BUDGET = (0, 1, 2), 16, 40
WORK = ROOT / "runs" / "adaptive-demo"
METHODS = ("learnability", "learnalign")


def select(method: str, spend: str, seed: int) -> Selection:
    """Select among the demo's problems; a finished selection is loaded."""
    # Rollouts and gradients of all problems are the same for both methods.
    name = f"full-{seed}" if spend == "full" else f"auto-{method}-{seed}"
    options = {
        "rollouts.num_rollouts": GROUP,
        "rollouts.spend": spend,
        "selection.method": method,
        "selection.budget": BUDGET,
        "selection.num_bootstrap": 0,
        "gradients.num_resampled": 0,
        "run.seed": seed,
        "run.out": str(WORK / name),
    }
    if spend == "auto":
        options["rollouts.engine"] = "recorded"
        options["rollouts.recorded"] = sorted(WORK.glob(f"full-{seed}/rollouts/*.parquet"))
    config = load_config(ROOT / "examples" / "demo.yaml", overrides=options)
    return run(config, progress=Progress("lines"))


def overlap(one: Selection, other: Selection) -> float:
    """Return the share of one selection that is also in another."""
    return len(set(one.problem_ids) & set(other.problem_ids)) / len(one.problem_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    methods = parser.parse_args().methods
    begin = time.monotonic()
    figures: dict[str, Figure] = {}
    rows: list[dict[str, Any]] = []
    for method in methods:
        full = {seed: select(method, "full", seed) for seed in SEEDS}
        auto = {seed: select(method, "auto", seed) for seed in SEEDS}
        own = statistics.mean(
            overlap(full[a], full[b]) for a, b in itertools.permutations(SEEDS, 2)
        )
        fresh = statistics.mean(
            overlap(auto[a], full[b]) for a, b in itertools.permutations(SEEDS, 2)
        )
        for seed in SEEDS:
            spent = auto[seed].summary["spending"]
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "rollouts": spent["rollouts"] / spent["full_budget"],
                    "stated loss": spent["expected_loss"],
                    "kept": overlap(full[seed], auto[seed]),
                }
            )
            sys.stdout.write(f"{rows[-1]}\n")
        mine = [row for row in rows if row["method"] == method]
        share = [row["rollouts"] for row in mine]
        figures |= {
            f"{method}: rollouts": Figure(
                statistics.mean(share), "of all", "lower", max(share) - min(share), goal=0.6
            ),
            f"{method}: kept": Figure(
                statistics.mean(row["kept"] for row in mine), "of the choice", "higher"
            ),
            f"{method}: two full choices": Figure(own, "in common", "higher"),
            f"{method}: auto and another full": Figure(fresh, "in common", "higher"),
            f"{method}: ratio": Figure(fresh / own, "x", "higher", goal=0.95),
        }
    command = f"python benchmarks/adaptive_demo.py --methods {' '.join(methods)}"
    publish("adaptive_demo", begin, figures, rows, command=command)


if __name__ == "__main__":
    main()
