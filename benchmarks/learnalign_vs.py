"""LearnAlign compared with other selection methods, by real trainings over several seeds.

The design, its hypotheses and its tests are in docs/results/claim.md, written before the first
run. Cells run in parallel in single-threaded processes; each writes a line of
``results/learnalign_vs.PRESET.jsonl``, and existing lines are not measured again. Seeds are the
outer loop, so that complete seeds can be paired whenever the benchmark is stopped.

    python benchmarks/learnalign_vs.py                      # SmolLM2 on two cores, for hours
    python benchmarks/learnalign_vs.py --preset tiny --parts main,budgets --seeds 0:12
    python benchmarks/learnalign_vs.py --preset steps --device cuda --jobs 8   # for one card
    python benchmarks/learnalign_vs.py --preset steps --tiny --seeds 0:1       # try it, a minute
    python benchmarks/learnalign_vs.py --preset gsm8k --jobs 1   # Qwen2.5-1.5B, for a GPU
    python benchmarks/learnalign_vs.py --tables             # from the existing lines
"""

import argparse
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

import vs_picture
import vs_tables
from harness import ROOT, Lines, publish
from vs_cell import Cell, Preset, make_pool, run_cell
from vs_presets import NAMES, WORK, prepare, preset

ADAPTER = ROOT / "runs" / "steps-model" / "adapter"
#: Methods of the main table, in the order in which a seed's cells are run.
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


def task(which: Preset, key: str) -> dict[str, Any]:
    """Do one task in this process: a pool, or a cell."""
    kind, _, rest = key.partition(":")
    if kind == "pool":
        pool, number = rest.split("-")
        row = make_pool(which, which.work, pool, int(number))
    else:
        row = run_cell(which, which.work, Cell(**json.loads(rest)))
    return {"key": key, **relative(row)}


def relative(row: dict[str, Any]) -> dict[str, Any]:
    """Make paths relative to the project."""
    return {
        key: value.replace(f"{ROOT}/", "") if isinstance(value, str) else value
        for key, value in row.items()
    }


def alone(which: Preset) -> None:
    """Set up this process and its children: one thread each on a CPU, this folder importable."""
    here = str(ROOT / "benchmarks")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    if which.name != "gsm8k":
        os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def share_card(device: str, jobs: int) -> None:
    """Give this process its share of a card's memory, so that it cannot take another's."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_per_process_memory_fraction(0.9 / jobs, torch.device(device))


def pool_key(which: Preset, cell: Cell) -> str:
    return f"pool:{cell.pool}-{cell.seed % which.num_samplings}"


def measure(which: Preset, wanted: list[Cell], jobs: int) -> None:
    """Do what is left, ``jobs`` tasks at a time: the pools, then the cells."""
    lines = Lines(results(which))
    pools = dict.fromkeys(pool_key(which, cell) for cell in wanted)
    missing = [
        key
        for key in pools
        if not (lines.has(key=key) and (which.work / key.replace(":", "-")).is_dir())
    ]
    keys = ["cell:" + json.dumps(asdict(cell)) for cell in wanted]
    alone(which)
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=share_card,
        initargs=(which.configure(which.work).model.device, jobs),
    ) as executor:
        # First all pools, so that no cell waits for its own.
        for some in (missing, [key for key in keys if not lines.has(key=key)]):
            for done in as_completed([executor.submit(task, which, key) for key in some]):
                if done.exception() is not None:
                    executor.shutdown(wait=False, cancel_futures=True)
                row = done.result()
                lines.add(row)
                means = {k: row[k]["mean"] for k in ("greedy", "sampled") if k in row}
                print(time.strftime("%H:%M:%S"), row["key"], means, flush=True)


def plan(which: Preset, wanted: list[Cell]) -> None:
    """Name the pools and cells that are left, with the rollouts that each needs."""
    lines = Lines(results(which))
    for key in dict.fromkeys(pool_key(which, cell) for cell in wanted):
        print("done" if lines.has(key=key) else "to do", key)
    config = which.configure(which.work)
    group, per_step = config.rollouts.num_rollouts, config.training.problems_per_step
    for cell in wanted:
        done = lines.has(key="cell:" + json.dumps(asdict(cell)))
        print("done" if done else "to do", cell.name, cell.steps * per_step * group, "rollouts")
    print(f"{len(wanted)} trainings, each evaluated on {which.test}")


def results(which: Preset) -> Path:
    """Return the file of the rows; what is tried out in another folder stays there."""
    tried = which.name == "steps-tiny" or which.work.parent != WORK
    folder = which.work if tried else ROOT / "benchmarks" / "results"
    return folder / f"learnalign_vs.{which.name}.jsonl"


def main() -> None:
    """Measure, or report what has been measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="smollm2", choices=NAMES)
    parser.add_argument("--parts", default="main", help="main, more, budgets, long, stages")
    parser.add_argument("--methods", help="Only these of the parts, separated by commas.")
    parser.add_argument("--seeds", default="0:6", help="FIRST:END")
    parser.add_argument("--jobs", "--workers", type=int, default=2, help="Cells side by side.")
    parser.add_argument("--device", help="cpu, cuda; by default the preset's.")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, help="Of the preset steps.")
    parser.add_argument("--work", type=Path, default=WORK, help="Folder of pools and cells.")
    parser.add_argument("--dev", action="store_true", help="Judge on dev.jsonl; needs --work.")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE; needs --work.")
    parser.add_argument("--tiny", action="store_true", help="Try the preset steps in a minute.")
    parser.add_argument("--dry-run", action="store_true", help="Only name what is to be done.")
    parser.add_argument("--tables", action="store_true", help="Only print the tables.")
    given = parser.parse_args()
    if given.tiny and given.preset != "steps":
        parser.error("--tiny is for --preset steps")
    work = given.work.resolve()
    if (given.dev or given.set) and work == WORK:
        parser.error("--dev and --set need a --work of their own")
    first, end = map(int, given.seeds.split(":"))
    begin = time.monotonic()
    which = preset(given.preset, work=work, device=given.device, tiny=given.tiny)
    changes = dict(pair.split("=", 1) for pair in given.set)
    changes = {key: yaml.safe_load(value) for key, value in changes.items()}
    which = replace(which, overrides=which.overrides | changes)
    if given.dev:
        which = replace(which, test=str(which.work / "data" / "dev.jsonl"))
    wanted = list(cells(which, given.parts.split(","), range(first, end)))
    if given.methods is not None:
        wanted = [cell for cell in wanted if cell.method in given.methods.split(",")]
    if given.dry_run:
        plan(which, wanted)
        return
    if not given.tables:
        prepare(which, given.adapter)
        measure(which, wanted, given.jobs)
    tell(which, begin)


def tell(which: Preset, begin: float) -> None:
    """Print the tables and write them."""
    table = vs_tables.Table(Lines(results(which)).rows, which.steps, which.budget)
    budgets = sorted({cell["budget"] for cell in table.cells} - {1.0})
    lengths = sorted({cell["steps"] for cell in table.cells})
    costs = vs_tables.cost_rows(table, max(lengths))
    hypotheses = vs_tables.hypothesis_rows(table)
    picture = which.work / "accuracy.html"
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
        f"learnalign_vs.{which.name}",
        begin,
        vs_tables.figures_of(hypotheses),
        rows,
        command=shlex.join(["python", "benchmarks/learnalign_vs.py", *sys.argv[1:]]),
        folder=results(which).parent,
    )


if __name__ == "__main__":
    main()
