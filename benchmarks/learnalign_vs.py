"""LearnAlign compared with other selection methods, by real trainings over several seeds.

The design, its hypotheses and its tests are in docs/results/claim.md, written before the first
run. Cells run in parallel in single-threaded processes; each writes a line of
``results/learnalign_vs.PRESET.jsonl``, and existing lines are not measured again. Seeds are the
outer loop, so that complete seeds can be paired whenever the benchmark is stopped.

    python benchmarks/learnalign_vs.py                      # SmolLM2 on two cores, for hours
    python benchmarks/learnalign_vs.py --preset tiny --parts main,budgets --seeds 0:12
    python benchmarks/learnalign_vs.py --preset gsm8k --workers 1   # Qwen2.5-1.5B, for a GPU
    python benchmarks/learnalign_vs.py --tables             # from the existing lines
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import arithmetic
import vs_picture
import vs_tables
from harness import ROOT, publish
from vs_cell import Cell, Preset, make_pool, run_cell

WORK = ROOT / "runs" / "vs"
#: Methods of the main table, in the order in which the cells of a seed run.
METHODS = (
    "random",
    "learnalign",
    "learnability",
    "full",
    "learnalign+warmup",
    "alignment",
    "inner_product",
    "features",
    "band",
)
#: Other methods: our variants, the warm-up's control, and methods that only use text.
MORE = (
    "diverse",
    "facility_location",
    "learnalign+half",
    "learnability+half",
    "learnalign+per-source",
    "learnalign+warmup+per-source",
    "learnability+per-source",
    "learnability+warmup",
    "ifd",
    "perplexity_top",
    "perplexity_middle",
    "token_length",
)
#: Sizes of the generated pools, test sets and development sets.
SIZES: dict[str, Any] = {"size": 2400, "num_test": 1500, "num_dev": 400}
#: The same with a single kind, so that no kind can crowd out another.
ONE_KIND: dict[str, Any] = {
    "size": 1200,
    "num_test": 800,
    "num_dev": 100,
    "kinds": ("sums of 2 digits",),
}


def preset(name: str) -> Preset:
    """Return a preset by its name."""
    work = WORK / name
    if name == "gsm8k":
        return Preset(
            name,
            ROOT / "recipes" / "gsm8k-qwen2.5-1.5b" / "select.yaml",
            {},
            test="gsm8k",
            steps=21,
            whole=156,
            warmup=300,
            num_samplings=4,
            budget=1000 / 7473,
        )
    small = name == "smollm2"
    return Preset(
        name,
        ROOT / "benchmarks" / "presets" / f"{'smollm2' if small else 'tiny'}.yaml",
        {"data.paths": (str(work / "data" / "pool.jsonl"),)}
        | ({"model.path": str(work / "model")} if name == "one-kind" else {}),
        test=str(work / "data" / "test.jsonl"),
        steps=40,
        whole=300 if name != "one-kind" else 150,
        budget=0.1 if name != "one-kind" else 0.2,
        warmup=96,
        num_samplings=3 if small else 4,
        num_sampled=500,
    )


def cells(which: Preset, parts: list[str], seeds: range) -> Iterator[Cell]:
    """Yield the cells of some parts of the design, seed by seed."""
    for seed in seeds:
        if "main" in parts:
            for method in METHODS:
                budget = 1.0 if method == "full" else which.budget
                yield Cell(method, budget, seed, which.steps)
        if "more" in parts:
            for method in MORE:
                yield Cell(method, which.budget, seed, which.steps)
        if "budgets" in parts:
            chosen = [method for method in METHODS if method != "full"]
            for budget, method in itertools.product((0.05, 0.2, 0.5), chosen):
                yield Cell(method, budget, seed, which.steps)
        if "long" in parts:
            for steps in (4 * which.steps, which.whole):
                yield Cell("full", 1.0, seed, steps)
        if "stages" in parts:
            for count in (2, 3):
                yield Cell(f"stages{count}", which.budget, seed, which.steps)


class Lines:
    """The finished rows: one JSON line per pool or cell, appended when it is done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def has(self, key: str) -> bool:
        """Whether a task is done."""
        return any(row["key"] == key for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Append a task's row."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def task(name: str, key: str) -> dict[str, Any]:
    """Run one task in this process: a pool or a cell."""
    which = preset(name)
    kind, _, rest = key.partition(":")
    if kind == "pool":
        pool, number = rest.split("-")
        row = make_pool(which, WORK / name, pool, int(number))
    else:
        row = run_cell(which, WORK / name, Cell(**json.loads(rest)))
    return {"key": key, **relative(row)}


def relative(row: dict[str, Any]) -> dict[str, Any]:
    """Make paths relative to the project."""
    return {
        key: value.replace(f"{ROOT}/", "") if isinstance(value, str) else value
        for key, value in row.items()
    }


def alone(name: str) -> None:
    """Set up this process and its children: one thread each on CPUs, this folder importable."""
    here = str(ROOT / "benchmarks")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    if name != "gsm8k":
        os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def pool_key(which: Preset, cell: Cell) -> str:
    return f"pool:{cell.pool}-{cell.seed % which.num_samplings}"


def measure(name: str, parts: list[str], seeds: range, workers: int) -> None:
    """Run the remaining tasks, ``workers`` at a time: first the pools, then the cells."""
    which, lines = preset(name), Lines(results(name))
    data = WORK / name / "data"
    if name != "gsm8k":
        arithmetic.write(data, **(ONE_KIND if name == "one-kind" else SIZES), seed=2026)
    if name in ("tiny", "one-kind") and not (WORK / name / "model" / "tokenizer.json").is_file():
        import tiny_model

        tiny_model.make(WORK / name / "model", data)
    wanted = list(cells(which, parts, seeds))
    pools = dict.fromkeys(pool_key(which, cell) for cell in wanted)
    missing = [
        key
        for key in pools
        if not (lines.has(key) and (WORK / name / key.replace(":", "-")).is_dir())
    ]
    keys = ["cell:" + json.dumps(asdict(cell)) for cell in wanted]
    alone(name)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        # First all pools, so that no cell waits for its pool.
        for some in (missing, [key for key in keys if not lines.has(key)]):
            for done in as_completed([executor.submit(task, name, key) for key in some]):
                if done.exception() is not None:
                    executor.shutdown(wait=False, cancel_futures=True)
                row = done.result()
                lines.add(row)
                means = {k: row[k]["mean"] for k in ("greedy", "sampled") if k in row}
                print(time.strftime("%H:%M:%S"), row["key"], means, flush=True)


def plan(name: str, parts: list[str], seeds: range) -> None:
    """Print the pools and cells, whether they are done, and the rollouts that each needs."""
    which, lines = preset(name), Lines(results(name))
    wanted = list(cells(which, parts, seeds))
    for key in dict.fromkeys(pool_key(which, cell) for cell in wanted):
        print("done" if lines.has(key) else "to do", key)
    group = which.configure(WORK).rollouts.num_rollouts
    per_step = which.configure(WORK).training.problems_per_step
    for cell in wanted:
        done = lines.has("cell:" + json.dumps(asdict(cell)))
        print("done" if done else "to do", cell.name, cell.steps * per_step * group, "rollouts")
    print(f"{len(wanted)} trainings, each evaluated on {which.test}")


def results(name: str) -> Path:
    return ROOT / "benchmarks" / "results" / f"learnalign_vs.{name}.jsonl"


def main() -> None:
    """Measure, or report what has been measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--preset", default="smollm2", choices=("smollm2", "tiny", "one-kind", "gsm8k")
    )
    parser.add_argument("--parts", default="main", help="main, more, budgets, long, stages")
    parser.add_argument("--seeds", default="0:6", help="FIRST:END")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="Only print the tasks.")
    parser.add_argument("--tables", action="store_true", help="Only print the tables.")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    begin = time.monotonic()
    parts = options.parts.split(",")
    if options.dry_run:
        plan(options.preset, parts, range(first, end))
        return
    if not options.tables:
        measure(options.preset, parts, range(first, end), options.workers)
    report(options.preset, begin)


def report(name: str, begin: float) -> None:
    """Print and write the tables."""
    which = preset(name)
    table = vs_tables.Table(Lines(results(name)).rows, which.steps, which.budget)
    budgets = sorted({cell["budget"] for cell in table.cells} - {1.0})
    lengths = sorted({cell["steps"] for cell in table.cells})
    costs = vs_tables.cost_rows(table, max(lengths))
    hypotheses = vs_tables.hypothesis_rows(table)
    picture = WORK / name / "accuracy.html"
    picture.parent.mkdir(parents=True, exist_ok=True)
    vs_picture.draw(picture, table, vs_tables.accuracy_rows(table, which.budget), costs)
    tables = {
        **{f"accuracy at {b:.0%}": vs_tables.accuracy_rows(table, b) for b in budgets},
        "hypotheses": hypotheses,
        "by kind": vs_tables.kind_rows(table, which.budget),
        **{f"chosen at {b:.0%}": vs_tables.chosen_rows(table, b) for b in budgets},
        "costs, in processor seconds": costs,
        "at equal wall-clock": vs_tables.clock_rows(table, costs, lengths),
    }
    for title, rows in tables.items():
        print(f"\n{title}\n\n{vs_tables.markdown(rows)}")
    rows = [{"table": title, "rows": rows} for title, rows in tables.items()]
    publish(
        f"learnalign_vs.{name}",
        begin,
        vs_tables.figures_of(hypotheses),
        rows,
        command=f"python benchmarks/learnalign_vs.py --preset {name}",
    )


if __name__ == "__main__":
    main()
