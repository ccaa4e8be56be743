"""Length bias: response lengths of the selections by inner product, cosine and LearnAlign.

GSM8K problems with four recorded solutions each (GPT-3's, 20 to 300 tokens), some correct and some
wrong, with SmolLM2-135M's policy gradients. The solutions are not the model's own, so the scores
are not useful for training: the benchmark measures how a gradient's norm depends on the length of
its responses, and how that affects a selection.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from plotly.subplots import make_subplots
from scipy.stats import spearmanr

from harness import ROOT, Figure, publish
from learnalign import load_config
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.workflows import select
from pool import MODEL

WORK = ROOT / "runs" / "bench-lengths"
SOURCE = ROOT.parent / "shared" / "data" / "gsm8k" / "example_model_solutions.jsonl"
COUNT, DRAWS = 120, 2000
METHODS = ("inner_product", "alignment", "learnalign", "learnability", "random")
SHARES = (0.1, 0.2, 0.3)


def write_data() -> tuple[Path, Path]:
    """Write the first problems that have both correct and wrong solutions."""
    problems, rollouts = [], []
    for number, line in enumerate(SOURCE.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        solutions = [v for v in row.values() if isinstance(v, dict) and "is_correct" in v]
        num_correct = sum(v["is_correct"] for v in solutions)
        if len(problems) == COUNT or not 0 < num_correct < len(solutions):
            continue
        answer = row["ground_truth"].rsplit("A:", 1)[-1].strip()
        problems.append({"id": str(number), "question": row["question"], "answer": answer})
        rollouts += [
            {"id": str(number), "completion": v["solution"], "reward": float(v["is_correct"])}
            for v in solutions
        ]
    WORK.mkdir(parents=True, exist_ok=True)
    paths = WORK / "problems.jsonl", WORK / "solutions.jsonl"
    for path, rows in zip(paths, (problems, rollouts), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


def main() -> None:
    """Compute or resume the gradients, select with each method, and measure response lengths."""
    if not SOURCE.is_file():
        raise SystemExit(f"{SOURCE} does not exist; GSM8K's recorded solutions are needed")
    begin = time.monotonic()
    problems, solutions = write_data()
    options: dict[str, Any] = {
        "model.path": str(MODEL),
        "data.paths": (str(problems),),
        "data.id_column": "id",
        "rollouts.engine": "recorded",
        "rollouts.recorded": (str(solutions),),
        "gradients.num_resampled": 0,
        "selection.num_bootstrap": 0,
        "run.out": str(WORK / "run"),
        "run.shard_size": 16,
    }
    config = load_config(overrides=options)
    whole = select.run(config, progress=Progress()).scores
    folder = RunFolder(WORK / "run")
    lengths = np.array(whole["mean_response_tokens"])
    norms = np.array(whole["gradient_norm"].to_numpy(zero_copy_only=False))
    rng = np.random.default_rng(0)
    rows, figures = [], {}
    for method in METHODS:
        selection = config.selection.model_copy(update={"method": method, "budget": 1.0})
        table = select.ranked(folder, config.model_copy(update={"selection": selection})).scores
        ordered = np.array(table["mean_response_tokens"])
        for share in SHARES:
            chosen = ordered[: round(share * len(ordered))]
            means = rng.choice(chosen, (DRAWS, len(chosen))).mean(axis=1)
            low, high = np.quantile(means, (0.025, 0.975))
            row = {"method": method, "share": share, "num_chosen": len(chosen)}
            rows.append(row | {"tokens": float(chosen.mean()), "low": low, "high": high})
            if share == SHARES[0]:
                figures[f"{method}: response tokens of the top 10 %"] = Figure(
                    float(chosen.mean()), "tokens", "higher", float(high - low) / 2
                )
    figures["pool: response tokens"] = Figure(float(lengths.mean()), "tokens", "higher")
    figures["Spearman of gradient norm and response length"] = Figure(
        float(spearmanr(norms, lengths).statistic), "", "higher"
    )
    slope = np.polyfit(np.log(lengths), np.log(norms), 1)[0]
    figures["exponent of the norm in the length"] = Figure(float(slope), "", "higher")
    draw(whole, rows)
    publish("lengths", begin, figures, rows)


def draw(whole: pa.Table, rows: list[dict[str, Any]]) -> None:
    """Plot norms against lengths, and the lengths that each method selects."""
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=(
            "a gradient's norm falls with its responses' length",
            "lengths that each method selects (95 % of resamples)",
        ),
    )
    figure.add_scatter(
        x=whole["mean_response_tokens"].to_pylist(),
        y=whole["gradient_norm"].to_pylist(),
        mode="markers",
        marker={"size": 6, "opacity": 0.6},
        showlegend=False,
        row=1,
        col=1,
    )
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        figure.add_scatter(
            x=[f"top {row['share']:.0%}" for row in mine],
            y=[row["tokens"] for row in mine],
            error_y={
                "array": [row["high"] - row["tokens"] for row in mine],
                "arrayminus": [row["tokens"] - row["low"] for row in mine],
            },
            name=method,
            row=1,
            col=2,
        )
    figure.update_xaxes(title="mean response tokens", type="log", row=1, col=1)
    figure.update_yaxes(title="gradient norm", type="log", row=1, col=1)
    figure.update_yaxes(title="mean response tokens of the selected problems", row=1, col=2)
    figure.update_layout(width=1100, height=460, template="simple_white")
    figure.write_html(WORK / "lengths.html", include_plotlyjs=True)


if __name__ == "__main__":
    main()
