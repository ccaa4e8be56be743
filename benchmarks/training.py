"""The cost of a GRPO step: native, TRL with its own sampling, TRL with ours, and a bare loop.

They run alternately in separate processes: 12 sums per step, 8 rollouts of at most 8 tokens,
SmolLM2-135M-Instruct with full weights, two threads. The first step of each run is ignored. The
bare loop is a rough prototype outside this project (a fast decode loop, groups packed with their
prompt); if it is missing (--sketch), it is skipped.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import ROOT, Figure, publish
from pool import MODEL

WORK = ROOT / "runs" / "bench-training"
SKETCH = ROOT.parent / "shared" / "prototypes"
TURNS, STEPS = 2, 3
TEMPLATE = (
    "<|im_start|>user\nWhat is {{ row.question }}?<|im_end|>\n"
    "<|im_start|>assistant\n{{ row.question }} ="
)
WAYS = {
    "native, bfloat16": ("native", "learnalign", "bfloat16"),
    "native, float32": ("native", "learnalign", "float32"),
    "TRL, its own sampling": ("trl", "trl", "bfloat16"),
    "TRL, our sampling": ("trl", "learnalign", "bfloat16"),
}


def write_problems(path: Path) -> None:
    """Write sums of two or three terms, with one or two digits."""
    rng = random.Random(0)
    lines = []
    for number in range(96):
        terms, digits = ((2, 1), (2, 2), (3, 1))[number % 3]
        low, high = (1, 9) if digits == 1 else (10, 99)
        values = [rng.randint(low, high) for _ in range(terms)]
        row = {
            "id": str(number),
            "question": " + ".join(map(str, values)),
            "answer": str(sum(values)),
        }
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines))


def one(way: str, data: Path, out: Path) -> dict[str, Any]:
    """Train some steps one way; return the seconds per step and the peak memory."""
    from learnalign import load_config
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.train import train

    trainer, sampling, dtype = WAYS[way]
    options: dict[str, Any] = {
        "model.path": str(MODEL),
        "model.device": "cpu",
        "data.paths": (str(data),),
        "data.id_column": "id",
        "prompt.template": TEMPLATE,
        "rollouts.max_tokens": 8,
        "rollouts.dtype": dtype,
        "verifier.kind": "number",
        "training.trainer": trainer,
        "training.sampling": sampling,
        "training.dtype": dtype,
        "training.problems_per_step": 12,
        "training.steps": STEPS + 1,
        "training.learning_rate": 1e-6,
        "training.kl_beta": 0.0,
        "training.save_every": 1000,
        "run.out": str(out),
    }
    if sampling == "learnalign":
        options["rollouts.stop"] = ("\n",)
    done = train(load_config(overrides=options), progress=Progress("none"))
    rows = done.steps.to_pylist()[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "sampling_s": [row["sampling_s"] for row in rows],
        "learning_s": [row["learning_s"] for row in rows],
        "verifying_s": [row["verifying_s"] for row in rows],
        "num_signal": [row["num_signal"] for row in rows],
        "mean_tokens": [row["mean_tokens"] for row in rows],
        "peak_bytes": peak,
    }


def sketch(folder: Path) -> dict[str, Any]:
    """Run the bare loop in a separate folder and parse its output."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("grpo_loop.py", "decode_loop.py", "arith.py"):
            shutil.copy(folder / file, name)
        (Path(name) / "models").mkdir()
        (Path(name) / "models" / "smollm2-135m-it").symlink_to(MODEL)
        options = ["--mode", "full", "--P", "12", "--G", "8", "--mx", "8", "--lr", "1e-6"]
        options += ["--steps", "3", "--ntrain", "96", "--ntest", "8", "--evalevery", "100"]
        options += ["--fams", "add1d,add2d,3t1d"]
        text = subprocess.run(
            [sys.executable, "grpo_loop.py", *options],
            cwd=name, capture_output=True, text=True, check=True, env=_environment(),
        ).stdout  # fmt: skip
    pattern = r"step \d+ .* mixed (\d+)/.* gen ([\d.]+)s train ([\d.]+)s load ([\d.]+)s"
    steps = [[float(value) for value in values] for values in re.findall(pattern, text)][1:]
    return {
        "num_signal": [mixed for mixed, *_ in steps],
        "sampling_s": [sampled + loaded for _, sampled, _, loaded in steps],
        "learning_s": [learned for _, _, learned, _ in steps],
        "verifying_s": [0.0] * len(steps),
    }


def _environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}


def measure(way: str, data: Path) -> dict[str, Any]:
    """Run one way in a separate process."""
    with tempfile.TemporaryDirectory() as name:
        command = [
            sys.executable,
            __file__,
            "--one",
            way,
            "--data",
            str(data),
            "--out",
            f"{name}/t",
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=_environment())
        if done.returncode:
            raise SystemExit(done.stderr)
        line: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return line


def seconds(row: dict[str, Any], *parts: str) -> float:
    """Return the median over a run's steps of the total time of some parts."""
    return statistics.median(
        sum(values) for values in zip(*(row[f"{part}_s"] for part in parts), strict=True)
    )


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """Return medians over the turns; ratios are taken within each turn."""
    figures = {}
    by = {(row["way"], row["turn"]): row for row in rows}
    ways = list(dict.fromkeys(row["way"] for row in rows))
    parts = ("sampling", "verifying", "learning")
    for way in ways:
        values = [seconds(by[way, turn], *parts) for turn in range(TURNS)]
        figures[f"{way}: a step"] = Figure(statistics.median(values), "s", "lower", _spread(values))
        for part in ("sampling", "learning"):
            some = [seconds(by[way, turn], part) for turn in range(TURNS)]
            figures[f"{way}: {part}"] = Figure(statistics.median(some), "s", "lower", _spread(some))
        if "peak_bytes" in by[way, 0]:
            peak = statistics.median(by[way, turn]["peak_bytes"] for turn in range(TURNS))
            figures[f"{way}: peak memory"] = Figure(peak / 1e9, "GB", "lower")
    ours = "native, bfloat16"
    for way in ways:
        if way == ours:
            continue
        ratios = [
            seconds(by[ours, turn], *parts) / seconds(by[way, turn], *parts)
            for turn in range(TURNS)
        ]
        goal = 1.2 if way == "bare loop" else 1.0
        figures[f"native / {way}"] = Figure(
            statistics.median(ratios), "x", "lower", _spread(ratios), goal
        )
    return figures


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) / 2


def main() -> None:
    """Measure all ways alternately, or only one (--one); resumes from existing lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sketch", type=Path, default=SKETCH)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.data, options.out)))
        return
    begin = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    data, log = WORK / "problems.jsonl", WORK / "lines.jsonl"
    write_problems(data)
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(row["way"], row["turn"]) for row in rows}
    ways = [*WAYS, *(["bare loop"] if (options.sketch / "grpo_loop.py").exists() else [])]
    for turn in range(TURNS):
        for way in ways:
            if (way, turn) in known:
                continue
            row = sketch(options.sketch) if way == "bare loop" else measure(way, data)
            row |= {"way": way, "turn": turn}
            with log.open("a") as out:
                out.write(json.dumps(row) + "\n")
            rows.append(row)
            print(
                turn, way, round(seconds(row, "sampling", "verifying", "learning"), 2), flush=True
            )
    publish("training", begin, figures_of(rows), rows)


if __name__ == "__main__":
    main()
