"""Whether training in bfloat16 (with float32 master weights) is worse than in float32.

The training demo's settings on a random subset of its pool, with two seeds and both dtypes: the
rewards of the last steps, and greedy accuracy on held-out problems, compared problem by problem.
"""

import statistics
import time
from pathlib import Path
from typing import Any

from harness import ROOT, Figure, publish
from learnalign import load_config
from learnalign.evaluating.accuracy import difference
from learnalign.terminal.progress import Progress
from learnalign.workflows.evaluate import evaluate
from learnalign.workflows.train import train

WORK = ROOT / "runs" / "bench-precision"
DTYPES, SEEDS = ("float32", "bfloat16"), (0, 1)
STEPS = 24
LAST = 6


def configure(out: Path, dtype: str, seed: int, **more: Any) -> Any:
    """Return the training demo's settings."""
    options = {"training.dtype": dtype, "rollouts.dtype": dtype, "run.seed": seed, **more}
    return load_config(
        ROOT / "examples" / "train-demo.yaml",
        overrides={**options, "training.steps": STEPS, "run.out": str(out)},
    )


def main() -> None:
    """Train and evaluate, or resume, all four runs."""
    begin = time.monotonic()
    rows: list[dict[str, Any]] = []
    scores: dict[tuple[str, int], list[float]] = {}
    held_out = str(ROOT / "examples" / "held-out.yaml")
    base = evaluate(
        configure(WORK / "before", "bfloat16", 0), [held_out], progress=Progress()
    ).results[0]
    for seed in SEEDS:
        for dtype in DTYPES:
            out = WORK / f"{dtype}-{seed}"
            done = train(configure(out / "training", dtype, seed), progress=Progress())
            # Both are evaluated in the same dtype, so that only the training differs.
            config = configure(
                out / "evaluation", "bfloat16", seed, **{"model.path": str(done.model)}
            )
            found = evaluate(config, [held_out], progress=Progress())
            steps = done.steps.to_pylist()
            order = sorted(found.scores.to_pylist(), key=lambda row: row["problem_id"])
            scores[dtype, seed] = [row["score"] for row in order]
            rows.append({
                "dtype": dtype, "seed": seed,
                "reward_first": statistics.mean(r["mean_reward"] for r in steps[:LAST]),
                "reward_last": statistics.mean(r["mean_reward"] for r in steps[-LAST:]),
                "accuracy": found.results[0].accuracy.mean,
                "before": base.accuracy.mean,
                "seconds_a_step": statistics.median(
                    r["sampling_s"] + r["learning_s"] for r in steps[1:]
                ),
            })  # fmt: skip
    bfloat16 = [x for seed in SEEDS for x in scores["bfloat16", seed]]
    float32 = [x for seed in SEEDS for x in scores["float32", seed]]
    gap = difference(bfloat16, float32)
    rows.append({"difference": gap.mean, "low": gap.low, "high": gap.high, "p": gap.p_value})
    figures = {
        "held-out accuracy, before": Figure(base.accuracy.mean, "", "higher"),
        "bfloat16 less float32, held-out accuracy": Figure(
            gap.mean, "", "higher", (gap.high - gap.low) / 2
        ),
    }
    for dtype in DTYPES:
        mine = [row for row in rows if row.get("dtype") == dtype]
        figures[f"{dtype}: held-out accuracy"] = Figure(
            statistics.mean(row["accuracy"] for row in mine), "", "higher"
        )
        figures[f"{dtype}: reward of the last steps"] = Figure(
            statistics.mean(row["reward_last"] for row in mine), "", "higher"
        )
        figures[f"{dtype}: a step"] = Figure(
            statistics.median(row["seconds_a_step"] for row in mine), "s", "lower"
        )
    publish("precision", begin, figures, rows)


if __name__ == "__main__":
    main()
