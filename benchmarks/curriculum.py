"""Curricula in real trainings of SmolLM2: accuracy at equal rollouts and at equal seconds.

The design, the hypotheses and the tests are in docs/results/curriculum_trainings.md. A cell is a
pool, a curriculum and a seed; cells run two at a time on one thread each, a finished one is kept
as a line of ``results/curriculum.jsonl``, and seeds are the outer loop, so that it can be stopped
and continued at any time.

    python benchmarks/curriculum.py --dry-run
    python benchmarks/curriculum.py --pools large-tenth --seeds 0:8
    python benchmarks/curriculum.py --tables             # from the existing lines
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import curriculum_pools
from curriculum_pools import Pool
from harness import ROOT, Figure, Lines, publish
from learnalign import load_config
from machine import machine

WORK = ROOT / "runs" / "curriculum"
RESULTS = ROOT / "benchmarks" / "results"
PRESET = ROOT / "benchmarks" / "presets" / "smollm2.yaml"
ROLLOUTS, PER_STEP, GROUP = 4_800, 8, 8
#: Where accuracy is measured, as shares of the rollouts.
READINGS = (0.2, 0.4, 0.6, 0.8, 1.0)
LARGE = ROLLOUTS // GROUP  # one pass
SMALL = LARGE // 5  # five passes
NOISE = {"mislabelled": 0.05, "coins": 0.1, "guesses": 0.1}
POOLS = {
    "large-tenth": Pool(LARGE, hard=0.7),
    "noise": Pool(SMALL, **NOISE),
    "small-third": Pool(SMALL),
    "large-third": Pool(LARGE),
    "small-tenth": Pool(SMALL, hard=0.7),
}
#: Name in the tables: the curriculum and its options. Discounts of mopps and mapp are those that
#: were best in the simulation.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "order": ("order", {}),
    "dynamic": ("dynamic", {}),
    "greso": ("greso", {}),
    "mopps": ("mopps", {"discount": 0.5}),
    "mapp": ("mapp", {"discount": 0.5}),
    "learnalign": ("learnalign", {}),
}


@dataclass(frozen=True)
class Cell:
    """One training."""

    pool: str
    method: str
    seed: int
    """Seeds the pool, the held-out problems, the curriculum and the rollouts."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.pool}/{self.method}-seed{self.seed}"


def run(cell: Cell, work: Path, rollouts: int) -> dict[str, Any]:
    """Train and read the accuracy on the way; return the cell's row."""
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.train import train

    name, options = METHODS[cell.method]
    out, data = work / cell.name, work / "data" / f"{cell.pool}-{cell.seed}"
    shutil.rmtree(out, ignore_errors=True)
    config = load_config(
        PRESET,
        overrides={
            "run.out": str(out),
            "run.seed": cell.seed,
            "data.paths": (str(data / "pool.jsonl"),),
            "verifier.kind": "curriculum_pools:reward",
            "training.problems_per_step": PER_STEP,
            "training.max_rollouts": rollouts,
            "training.curriculum": name,
            "training.curriculum_options": options,
        },
    )
    readings = _Readings(data / "test.jsonl", config, rollouts)
    training = train(config, progress=Progress("none"), after_step=readings)
    for unused in ("model", "checkpoints"):
        shutil.rmtree(out / unused, ignore_errors=True)
    steps = training.steps.to_pylist()
    return {
        **asdict(cell),
        "commit": machine(ROOT)["learnalign"]["commit"],
        "folder": str(out.relative_to(ROOT) if out.is_relative_to(ROOT) else out),
        "readings": readings.rows,
        "num_steps": len(steps),
        "signal": _total(steps, "num_signal") / _total(steps, "num_sampled"),
        "coverage": steps[-1]["coverage"],
        "trained": _trained(training.history().to_pylist(), data / "pool.jsonl"),
        **{
            key: round(_total(steps, key), 2) for key in ("sampling_s", "verifying_s", "learning_s")
        },
    }


def _total(steps: list[dict[str, Any]], key: str) -> float:
    return float(sum(row[key] for row in steps))


class _Readings:
    """Reads the held-out accuracy of a model in training, and what was spent until then."""

    def __init__(self, test: Path, config: Any, rollouts: int) -> None:
        self.test, self.config = test, config
        self.left = [round(share * rollouts) for share in READINGS]
        self.rows: list[dict[str, Any]] = []
        self.num_rollouts, self.seconds = 0, 0.0
        self.engine: Any = None
        self.clock: float | None = None

    def __call__(self, step: dict[str, Any], model: Any) -> None:
        """Count a step, and measure if it crossed the next mark."""
        now = time.process_time()
        wall = step["sampling_s"] + step["verifying_s"] + step["learning_s"]
        # The processor time since the last step; of the first, which has no last, the wall time.
        self.seconds += wall if self.clock is None else now - self.clock
        self.num_rollouts += step["num_sampled"] * GROUP
        if self.left and self.num_rollouts >= self.left[0]:
            while self.left and self.num_rollouts >= self.left[0]:
                self.left.pop(0)
            accuracy, kinds = self._measure(model)
            self.rows.append(
                {
                    "rollouts": self.num_rollouts,
                    "seconds": round(self.seconds, 3),
                    "accuracy": accuracy,
                    "kinds": kinds,
                }
            )
        self.clock = time.process_time()

    def _measure(self, model: Any) -> tuple[float, dict[str, float]]:
        return greedy_accuracy(self.test, self.config, model)


def greedy_accuracy(test: Path, config: Any, model: Any) -> tuple[float, dict[str, float]]:
    """Return the share of problems answered correctly without sampling, in all and by kind."""
    import pyarrow as pa
    from transformers import AutoTokenizer

    from learnalign.rollouts.transformers import TransformersEngine

    tokenizer = AutoTokenizer.from_pretrained(config.model.path)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]
    template = config.prompt.template
    texts = [template.replace("{{ row.question }}", row["question"]) for row in rows]
    table = pa.table(
        {
            "problem_id": [row["id"] for row in rows],
            "prompt_ids": [tokenizer(text)["input_ids"] for text in texts],
        }
    )
    options = config.rollouts.model_copy(update={"num_rollouts": 1, "temperature": 0.0})
    answers = TransformersEngine(model, tokenizer, options, seed=0).sample(table)
    texts = answers["completion"].to_pylist()
    right: dict[str, list[float]] = {}
    for row, text in zip(rows, texts, strict=True):
        columns = {"id": [row["id"]], "answer": [row["answer"]], "noise": ["none"]}
        (reward,) = curriculum_pools.reward([text], **columns)
        right.setdefault(row["kind"], []).append(reward)
    total = sum(map(sum, right.values())) / len(rows)
    return total, {kind: round(sum(values) / len(values), 4) for kind, values in right.items()}


def _trained(history: list[dict[str, Any]], pool: Path) -> dict[str, dict[str, int]]:
    """Count the trained groups with a signal by noise and by kind."""
    rows = {
        row["id"]: row for row in map(json.loads, pool.read_text(encoding="utf-8").splitlines())
    }
    rewards: dict[tuple[int, str], set[float]] = {}
    for row in history:
        if row["trained"]:
            rewards.setdefault((row["step"], row["problem_id"]), set()).add(row["reward"])
    counts: dict[str, dict[str, int]] = {"noise": {}, "kind": {}}
    for (_, name), values in rewards.items():
        if len(values) > 1:
            for key, found in counts.items():
                found[rows[name][key]] = found.get(rows[name][key], 0) + 1
    return counts


def prepare(cells: Sequence[Cell], work: Path) -> None:
    """Write the problems of every pool and seed, where they are missing."""
    for pool, seed in dict.fromkeys((cell.pool, cell.seed) for cell in cells):
        folder = work / "data" / f"{pool}-{seed}"
        if not (folder / "test.jsonl").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            curriculum_pools.write(folder, POOLS[pool], seed=10_000 + seed)


def measure(cells: Sequence[Cell], lines: Lines, work: Path, rollouts: int, jobs: int) -> None:
    """Run the cells that are left, ``jobs`` at a time."""
    here = str(ROOT / "benchmarks")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    left = [cell for cell in cells if not lines.has(**asdict(cell))]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(run, cell, work, rollouts) for cell in left]):
            if done.exception() is not None:
                pool.shutdown(wait=False, cancel_futures=True)
            row = done.result()
            lines.add(row)
            last = row["readings"][-1]
            print(
                time.strftime("%H:%M:%S"), row["pool"], row["method"], row["seed"],
                f"accuracy {last['accuracy']:.3f} after {last['rollouts']} rollouts,",
                f"{last['seconds']:.0f} s", flush=True,
            )  # fmt: skip


def main() -> None:
    """Measure, or report what has been measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pools", default=",".join(POOLS), help="Separated by commas.")
    parser.add_argument("--methods", default=",".join(METHODS), help="Separated by commas.")
    parser.add_argument("--seeds", default="0:8", help="FIRST:END")
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS, help="Of each training.")
    parser.add_argument("--jobs", type=int, default=2, help="Cells side by side.")
    parser.add_argument("--work", type=Path, default=WORK, help="Folder of problems and runs.")
    parser.add_argument("--dry-run", action="store_true", help="Only name what is left to do.")
    parser.add_argument("--tables", action="store_true", help="Only print the tables.")
    given = parser.parse_args()
    begin, work = time.monotonic(), given.work.resolve()
    if work == WORK and given.rollouts != ROLLOUTS:
        parser.error("--rollouts needs a --work of its own")
    lines = Lines((RESULTS if work == WORK else work) / "curriculum.jsonl")
    first, end = map(int, given.seeds.split(":"))
    cells = [
        Cell(pool, method, seed)
        for pool in given.pools.split(",")
        for seed in range(first, end)
        for method in given.methods.split(",")
    ]
    if given.dry_run:
        for cell in cells:
            print("done" if lines.has(**asdict(cell)) else "to do", cell.name)
        return
    if not given.tables:
        prepare(cells, work)
        measure(cells, lines, work, given.rollouts, given.jobs)
    tell(lines.rows, RESULTS if work == WORK else work, begin)


def tell(rows: list[dict[str, Any]], folder: Path, begin: float) -> None:
    """Print the tables, and write them and the picture."""
    import curriculum_tables

    found = curriculum_tables.tables(rows, list(POOLS), list(METHODS))
    sys.stdout.write(curriculum_tables.text(found))
    figures = {
        f"{table['table']}: {row['curriculum']} less order": Figure(
            gap["difference"], "", "higher", (gap["high"] - gap["low"]) / 2
        )
        for table in found
        for row in table["rows"]
        if (gap := row["to order, equal rollouts"]) and row["curriculum"] != "order"
    }
    publish("curriculum", begin, figures, found, folder=folder, show=False)
    curriculum_tables.draw(
        (WORK if folder == RESULTS else folder) / "curriculum.html",
        rows,
        list(POOLS),
        list(METHODS),
    )


if __name__ == "__main__":
    main()
