"""The speed of gradient rows, compared with their arithmetic, a training step, and the peers.

Each contender runs in a separate process, one after the other, on the same token ids. Ratios are
taken within one repetition, and the figure is their median. Peers are installed in a separate
environment (benchmarks/peers/install.sh); missing ones are skipped.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import ROOT, Figure, publish
from learnalign.gradients.objective import rollout_weights
from pool import MODEL, demo_pool

HERE = Path(__file__).resolve().parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
WORK = ROOT / "runs" / "bench-gradients"
#: Prompt tokens, response tokens, number of groups of eight.
SHAPES = {"short": (60, 16, 6), "gsm8k-like": (100, 150, 1), "long": (100, 600, 1)}

REPETITIONS = 2
PEER_NAMES = ("bergson", "dattri-llm", "less")
Group = dict[str, Any]


def make_groups(prompt: int, response: int, count: int) -> list[Group]:
    """Create groups of random tokens, with half of the rollouts correct."""
    rng = np.random.default_rng(prompt * response)
    groups = []
    for _ in range(count):
        rewards = rng.permutation([1.0] * 4 + [0.0] * 4)
        weights = rollout_weights(rewards, [response] * 8, max_tokens=response)
        groups.append(
            {
                "prompt_ids": rng.integers(20, 49000, prompt).tolist(),
                "responses": rng.integers(20, 49000, (8, response)).tolist(),
                "weights": weights.tolist(),
            }
        )
    return groups


def demo_groups() -> list[Group]:
    """Return a tenth of the demo's real pool, including groups without signal."""
    groups = []
    for problem in demo_pool()[::10]:
        lengths = [len(ids) for ids in problem.group.responses]
        weights = rollout_weights(problem.group.rewards, lengths, max_tokens=8)
        groups.append(
            {
                "prompt_ids": problem.prompt,
                "responses": problem.group.responses,
                "weights": weights.tolist(),
            }
        )
    return groups


def ours(options: argparse.Namespace) -> None:
    """Run LearnAlign's own engine on a file of groups, and print a line like the peers."""
    from learnalign.config import GradientConfig, ModelConfig
    from learnalign.gradients.policy import PolicyGradients
    from learnalign.models.loading import load_model

    torch.set_num_threads(options.threads)
    groups = json.loads(options.groups.read_text())
    jobs = [
        (group["prompt_ids"], group["responses"], group["weights"])
        for group in groups
        if any(group["weights"])
    ]
    model = load_model(ModelConfig(path=options.model), dtype=getattr(torch, options.dtype))
    config = GradientConfig(input_width=options.input_width)
    policy = PolicyGradients(model, config, temperature=1.0, seed=0)
    small = [([5, 6, 7], [[8, 9], [10]], [1.0, -1.0])]
    policy(small)
    held = _resident()
    begin, used = time.perf_counter(), time.process_time()
    policy(jobs)
    seconds, processor = time.perf_counter() - begin, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = {"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak}
    line |= {"model_bytes": held, "rows": len(jobs)}
    if options.count:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            policy(jobs)
        line["operations"] = counter.get_total_flops()
    print(json.dumps(line))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def arithmetic(groups: list[Group], *, shared: bool, width: int) -> float:
    """Count the operations of matrix products and attention in a pass.

    Per weight and token: two in the forward pass, two more for activation gradients, and for a
    training step (``shared`` False) two more for weight gradients, with a separate prompt for each
    rollout. The embedding's gradient is not a matrix product. ``width`` adds the products of the
    sketch: inputs with the projection, and output gradients with the result; 0 adds the whole
    weight gradient.
    """
    layers, hidden, inner, keys, heads, vocabulary = 30, 576, 1536, 192, 576, 49152
    shapes = [(hidden, hidden)] * 2 + [(keys, hidden)] * 2 + [(inner, hidden)] * 2
    shapes += [(hidden, inner)]
    linear = layers * sum(out * inputs for out, inputs in shapes)
    head = hidden * vocabulary
    total = 0.0
    for group in groups:
        prompt = len(group["prompt_ids"])
        responses = group["responses"]
        if shared:
            if not any(group["weights"]):
                continue
            responses = list(map(list, {tuple(response) for response in responses}))
            tokens = prompt + sum(len(r) - 1 for r in responses)
            places = 1 + sum(len(r) - 1 for r in responses)
            attention = prompt**2 / 2 + sum(
                (len(r) - 1) * prompt + (len(r) - 1) ** 2 / 2 for r in responses
            )
            total += 4 * linear * tokens + 4 * head * places
            # Forward: scores and weighted sum; backward: scores again and four products.
            total += layers * 14 * heads * attention
            if width:
                total += 2 * layers * tokens * width * sum(o + i for o, i in shapes)
            else:
                total += 2 * linear * tokens
        else:
            tokens = sum(prompt + len(r) - 1 for r in responses)
            places = sum(len(r) for r in responses)
            attention = sum((prompt + len(r) - 1) ** 2 / 2 for r in responses)
            total += 6 * linear * tokens + 6 * head * places + layers * 14 * heads * attention
    return total


def contenders(dtypes: list[str]) -> dict[str, list[str]]:
    """Return each contender's command, without the groups."""
    mine = [sys.executable, str(HERE / "gradients.py"), "--one"]
    commands = {}
    for dtype in dtypes:
        commands[f"ours, {dtype}"] = [*mine, "--dtype", dtype]
    commands["ours, float32, whole gradients"] = [*mine, "--dtype", "float32", "--input-width", "0"]
    plain = str(HERE / "peers" / "plain_step.py")
    commands["plain step, float32"] = [sys.executable, plain, "--dtype", "float32"]
    commands["plain step, bfloat16"] = [sys.executable, plain, "--dtype", "bfloat16"]
    if PEERS.exists():
        for peer in PEER_NAMES:
            script = str(HERE / "peers" / f"{peer.replace('-', '_')}_rows.py")
            commands[f"{peer}, float32"] = [str(PEERS), script, "--dtype", "float32"]
    return commands


def measure(command: list[str], path: Path, *, count: bool = False) -> dict[str, Any]:
    """Run one contender once."""
    done = subprocess.run(
        [*command, "--model", str(MODEL), "--groups", str(path), "--threads", "2"]
        + (["--count"] if count else []),
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        return {"seconds": None, "note": done.stderr.strip().splitlines()[-1:]}
    line: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return line


def run_shape(name: str, groups: list[Group], repetitions: int) -> list[dict[str, Any]]:
    """Measure all contenders alternately on one shape; resumes from existing lines."""
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{name}.json"
    path.write_text(json.dumps(groups))
    log = WORK / f"{name}.lines.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(line["contender"], line["repetition"]) for line in lines}
    for repetition in range(repetitions):
        for contender, command in contenders(["float32", "bfloat16"]).items():
            # LESS costs the same for every rollout in any pool: measuring it once is enough.
            slow = contender.startswith("less") and (repetition > 0 or name == "demo pool")
            if (contender, repetition) in known or slow:
                continue
            count = repetition == 0 and contender.startswith("ours")
            line = measure(command, path, count=count)
            line |= {"contender": contender, "repetition": repetition, "shape": name}
            with log.open("a") as out:
                out.write(json.dumps(line) + "\n")
            lines.append(line)
            print(name, contender, line["seconds"], flush=True)
    return lines


def summary(name: str, groups: list[Group], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert a shape's lines to one row per contender, with ratios to the plain step."""
    plain = {
        line["repetition"]: line for line in lines if line["contender"] == "plain step, float32"
    }
    step = arithmetic(groups, shared=False, width=0)
    rows = []
    for contender in dict.fromkeys(line["contender"] for line in lines):
        own = [x for x in lines if x["contender"] == contender]
        timed = [x for x in own if x["seconds"] is not None]
        row: dict[str, Any] = {"shape": name, "contender": contender}
        if not timed:
            rows.append(row | {"ratio": None, "note": own[0].get("note")})
            continue
        ratios = [x["seconds"] / plain[x["repetition"]]["seconds"] for x in timed]
        row |= {
            "ratio": statistics.median(ratios),
            "spread": (max(ratios) - min(ratios)) / 2,
            "seconds": statistics.median(x["seconds"] for x in timed),
            "peak_ratio": statistics.median(
                x["peak_bytes"] / plain[x["repetition"]]["peak_bytes"] for x in timed
            ),
            "operations": next((x["operations"] for x in own if "operations" in x), None),
        }
        if contender.startswith("ours"):
            width = 0 if "whole" in contender else 16
            row["limit"] = arithmetic(groups, shared=True, width=width) / step
            row["over_limit"] = row["ratio"] / row["limit"]
        rows.append(row)
    return rows


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """Select the main figures."""
    figures = {}
    by = {(row["shape"], row["contender"]): row for row in rows}
    for shape in [*SHAPES, "demo pool"]:
        row = by[shape, "ours, float32"]
        figures[f"{shape}: ours / plain step"] = Figure(row["ratio"], "x", "lower", row["spread"])
        if shape in SHAPES:
            figures[f"{shape}: ours / arithmetic limit"] = Figure(
                row["over_limit"], "x", "lower", row["spread"] / row["limit"], 1.2
            )
            figures[f"{shape}: peak memory / plain step"] = Figure(
                row["peak_ratio"], "x", "lower", goal=0.5
            )
        for peer in PEER_NAMES:
            other = by.get((shape, f"{peer}, float32"))
            if other and other["ratio"]:
                goal = {("bergson", "gsm8k-like"): 1.5, ("bergson", "demo pool"): 3.0}
                figures[f"{shape}: {peer} / ours"] = Figure(
                    other["ratio"] / row["ratio"], "x", "higher", goal=goal.get((peer, shape), 1.0)
                )
        half = by[shape, "ours, bfloat16"]
        figures[f"{shape}: ours in bfloat16 / plain step"] = Figure(
            half["ratio"], "x", "lower", half["spread"]
        )
        figures[f"{shape}: peak memory in bfloat16 / plain step"] = Figure(
            half["peak_ratio"], "x", "lower", goal=0.5
        )
    return figures


def main() -> None:
    """Measure all shapes, or our engine on one file (``--one``)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", action="store_true", help="run our engine once on --groups")
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--groups", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--input-width", type=int, default=16)
    parser.add_argument("--count", action="store_true", help="also count operations")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args()
    if options.one:
        ours(options)
        return
    begin = time.monotonic()
    rows = []
    shapes = {name: make_groups(*shape) for name, shape in SHAPES.items()}
    shapes["demo pool"] = demo_groups()
    for name, groups in shapes.items():
        repetitions = options.repetitions if name in SHAPES else 1
        rows += summary(name, groups, run_shape(name, groups, repetitions))
    for row in rows:
        print({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()})
    publish("gradients", begin, figures_of(rows), rows)


if __name__ == "__main__":
    main()
