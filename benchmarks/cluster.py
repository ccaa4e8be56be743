"""The overhead of a Ray cluster over plain processes, and a simulation of scaling to many GPUs.

Measured: a selection of about a minute's work, with two Ray actors with one CPU each, and with two
plain processes with one thread each, started by hand with half of the problems. Both read and write
the same tables. They run alternately, and ratios are taken within a turn. A third figure is the
time to record a shard in the manifest, which limits the number of shards per second.

Simulated: shards of unequal length on N actors, with the measured rates (a small model, one CPU
per actor) and with assumed rates of a 1.5B model on a GPU. Both are in the JSON file. The
simulation is not a measurement: no cluster of GPUs was available.
"""

import argparse
import heapq
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness import ROOT, Figure, publish
from learnalign.config.load import load_config, write_config
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import Shard

SIZE, SHARD, TURNS = 160, 8, 2
PROGRAM = [sys.executable, "-c", "from learnalign.cli.main import main; main()", "select"]
DATA = "reasoning-gym:chain_sum?size={}&seed={}&max_terms=3&max_digits=2"

#: The workload.
LOAD = {
    "tokens a rollout, mean": 400.0,
    "rollouts a problem": 8.0,
    "problems a shard": 256.0,
    "share of problems with a signal": 0.5,
    "ranking a million problems, s": 33.0,  # benchmarks/results/scoring.json
}
#: Assumed rates of a 1.5B model on an 80 GB GPU; replace them with yours.
ASSUMED = {
    "sampling, tokens a second and worker": 10_000.0,
    "gradients, tokens a second and worker": 20_000.0,
    "verdicts a second and worker": 1600.0,  # eight CPUs per GPU
    "spread of a shard's time": 0.2,  # standard deviation of its logarithm
    "an actor's start with its model, s": 60.0,
}
POOLS, WORKERS = (10_000, 100_000, 1_000_000), (1, 4, 16, 64, 256)


def config(out: Path, *, size: int, seed: int, on: str = "here") -> Path:
    """Write the options of a selection and return the file."""
    options = {
        "model.path": str(ROOT / "models" / "SmolLM2-135M-Instruct"),
        "data.paths": (DATA.format(size, seed),),
        "prompt.assistant_prefix": "{{ row.metadata.expression }} =",
        "rollouts.num_rollouts": 8,
        "rollouts.max_tokens": 6,
        "rollouts.stop": ("\n",),
        "verifier.kind": "number",
        "verifier.workers": 1,
        "gradients.num_resampled": 0,
        "selection.method": "learnalign",
        "selection.budget": 0.1,
        "selection.num_bootstrap": 0,
        "run.shard_size": SHARD,
        "run.out": str(out),
        "cluster.on": on,
    }
    file = out.with_suffix(".yaml")
    write_config(file, load_config(overrides=options))
    return file


@contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """Start a Ray node with two CPUs; yield the environment variables to connect to it."""
    folder = tempfile.mkdtemp(prefix="ray")
    ray = [str(Path(sys.executable).parent / "ray")]
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    start = ["start", "--head", "--num-cpus=2", "--include-dashboard=false", "--port=26379"]
    subprocess.run([*ray, *start, f"--temp-dir={folder}"], check=True, capture_output=True)
    try:
        yield {"RAY_ADDRESS": "127.0.0.1:26379"}
    finally:
        subprocess.run([*ray, "stop", "--force"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def timed(files: list[Path], environment: dict[str, str]) -> float:
    """Run selections in parallel and return the seconds until the last one ends."""
    env = os.environ | environment | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run(file: Path) -> None:
        subprocess.run([*PROGRAM, "--config", str(file)], env=env, check=True, capture_output=True)

    begin = time.monotonic()
    with ThreadPoolExecutor() as threads:
        list(threads.map(run, files))
    return time.monotonic() - begin


def overhead() -> tuple[dict[str, Figure], list[dict[str, Any]], dict[str, float]]:
    """Compare Ray with two processes, alternately; also return the actors' rates."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, cluster() as environment:
        for turn in range(TURNS):
            folder = Path(name) / str(turn)
            folder.mkdir()
            whole = config(folder / "ray", size=SIZE, seed=1, on="ray")
            halves = [config(folder / f"half-{i}", size=SIZE // 2, seed=1 + i) for i in (0, 1)]
            seconds = {
                "ray": timed([whole], environment),
                "processes": timed(halves, {}),
            }
            stages = RunFolder(folder / "ray").manifest.stages
            durations = {
                stage: [round(shard.seconds, 2) for shard in record.shards.values()]
                for stage, record in stages.items()
            }
            ratio = seconds["ray"] / seconds["processes"]
            rows.append({"turn": turn, **seconds, "ratio": ratio, "seconds in shards": durations})
            sys.stdout.write(f"turn {turn}: {rows[-1]}\n")
            sys.stdout.flush()
            measured = rates(RunFolder(folder / "ray"))
    ratios = [row["ratio"] for row in rows]
    figures = {
        "two Ray actors / two processes": Figure(
            statistics.median(ratios), "x", "lower", max(ratios) - min(ratios), goal=1.1
        ),
        "two processes": Figure(statistics.median(r["processes"] for r in rows), "s", "lower"),
    }
    return figures, rows, measured


def counting(shards: int) -> float:
    """Return the mean seconds to add a shard to the manifest, for a stage of ``shards``."""
    table = pa.table({"problem_id": ["a"]})
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name) / "run")
        with folder.locked():
            folder.begin("problems", {})
            shard: Shard = folder.put_shard("problems", 0, table, seconds=1.0)
            begin = time.monotonic()
            for index in range(shards):
                folder.add_shard("problems", index, shard)
            return (time.monotonic() - begin) / shards


def rates(folder: RunFolder) -> dict[str, float]:
    """Return the rates per actor of a finished run."""
    stages = folder.manifest.stages
    shards = {name: list(stages[name].shards.values()) for name in stages}
    seconds = {name: sum(shard.seconds for shard in found) for name, found in shards.items()}
    tokens = {name: sum(shard.tokens for shard in found) for name, found in shards.items()}
    # An actor's first shard includes loading the model.
    lengths = np.sort([shard.seconds for shard in shards["rollouts"]])
    start = float(lengths[-2:].mean() - np.median(lengths))
    work = seconds["rollouts"] - 2 * start
    return {
        "sampling, tokens a second and worker": tokens["rollouts"] / work,
        "gradients, tokens a second and worker": tokens["gradients"]
        / (seconds["gradients"] - 2 * start),
        "verdicts a second and worker": sum(s.rows for s in shards["verdicts"])
        / seconds["verdicts"],
        "spread of a shard's time": float(np.log(lengths[:-2]).std()),
        "an actor's start with its model, s": start,
    }


def simulate(
    problems: int, workers: int, count_s: float, rate: dict[str, float], *, seed: int = 0
) -> dict[str, Any]:
    """Assign shards of unequal length to actors; return the hours of each stage."""
    rng = np.random.default_rng(seed)
    size = int(LOAD["problems a shard"])
    shards = -(-problems // size)
    tokens = LOAD["tokens a rollout, mean"] * LOAD["rollouts a problem"] * size
    spread = rate["spread of a shard's time"]
    means = {
        "rollouts": tokens / rate["sampling, tokens a second and worker"],
        "verdicts": LOAD["rollouts a problem"] * size / rate["verdicts a second and worker"],
        "gradients": LOAD["share of problems with a signal"]
        * tokens
        / rate["gradients, tokens a second and worker"],
    }
    hours: dict[str, float] = {}
    for stage, mean in means.items():
        start = 0.0 if stage == "verdicts" else rate["an actor's start with its model, s"]
        free = [start] * min(workers, shards)
        for length in mean * np.exp(rng.normal(-(spread**2) / 2, spread, shards)):
            heapq.heappush(free, heapq.heappop(free) + float(length))
        hours[stage] = max(max(free), shards * count_s) / 3600
    hours["ranking"] = LOAD["ranking a million problems, s"] * problems / 1e6 / 3600
    work = sum(means.values()) * shards / 3600
    total = sum(hours.values())
    return {
        "problems": problems,
        "workers": workers,
        **{f"{stage}, h": round(value, 3) for stage, value in hours.items()},
        "all, h": round(total, 3),
        "worker hours of work": round(work, 2),
        "share of the workers' time that is work": round(work / (workers * total), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="only run the simulation")
    only = parser.parse_args().simulate
    begin = time.monotonic()
    figures: dict[str, Figure] = {}
    rows: list[dict[str, Any]] = []
    rate_sets = {"assumed": ASSUMED}
    if not only:
        figures, rows, rate_sets["measured"] = overhead()
    count_s = counting(1_000_000 // int(LOAD["problems a shard"]))
    figures["naming a shard of 3,906"] = Figure(count_s * 1e3, "ms", "lower")
    rows.append({"load": LOAD, **rate_sets})
    for name, rate in rate_sets.items():
        for problems in POOLS:
            for workers in WORKERS:
                rows.append({"rates": name, **simulate(problems, workers, count_s, rate)})
                sys.stdout.write(f"{rows[-1]}\n")
    if not only:
        publish("cluster", begin, figures, rows, command="python benchmarks/cluster.py")


if __name__ == "__main__":
    main()
