"""When does choosing pay? Gains over random problems, by the pool's share with a signal and noise.

The design, the hypotheses and the tests are in docs/results/paying.md, written before the first
run. Each pool of each seed is sampled, verified and scored once; each rule then chooses a tenth of
it, and a training on the choice is read several times on the way. Pools run side by side on one
thread each; a finished training is kept as a line of ``results/paying.jsonl``, and seeds are the
outer loop, so that it can be stopped and continued at any time.

    python benchmarks/paying.py --dry-run
    python benchmarks/paying.py --seeds 0:8
    python benchmarks/paying.py --tables                # from the existing lines
    python benchmarks/paying.py --model smollm2 --seeds 0:3     # the cells that decide
"""

import argparse
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import paying_pools
from curriculum import greedy_accuracy
from harness import ROOT, Lines, publish
from learnalign import load_config
from machine import machine
from paying_models import MODELS, Model
from paying_pools import Pool
from paying_rules import Floats, Scored, choose
from paying_tables import BUDGET, PASSES

RESULTS = ROOT / "benchmarks" / "results"
PER_STEP = 8
#: The rules that pay for no choice.
UNCHOSEN = ("random", "full")
SIGNALS, NOISES = (0.1, 0.2, 0.35, 0.5, 0.7), ("mislabelled", "coin", "guess")
POOLS = [
    *(Pool(signal) for signal in SIGNALS),
    *(
        Pool(signal, noise, kind)
        for signal in (0.2, 0.5)
        for noise in (0.1, 0.3)
        for kind in NOISES
    ),
]
#: The rules of the map, and variants of LearnAlign, tested where it loses.
RULES = ("random", "full", "signal", "learnability", "learnability per source", "learnalign")
VARIANTS = (
    "learnalign per source",
    "learnalign in proportion",
    "learnalign and random",
    "learnability in proportion",
    "gate",
    "gate per source",
    "source alignment",
    "cluster alignment",
    "spread",
    "learnalign with KL",
    "random with KL",
)
#: What SmolLM2 is asked.
DECIDING_POOLS = ("signal-10", "signal-35")
DECIDING_RULES = ("random", "full", "signal", "learnalign")
VARIANT_POOLS = ("signal-20", "signal-50", "signal-20-coin-30", "signal-20-guess-30")
#: The paper's weight of the KL term, of trainings ``with KL``.
KL = 0.04


def configured(model: Model, out: Path, pool: Path, seed: int, **more: Any) -> Any:
    """Return the options of a selection or a training."""
    options = {
        "run.out": str(out),
        "run.seed": seed,
        "model.path": str(model.path),
        "data.paths": (str(pool),),
        "verifier.kind": "curriculum_pools:reward",
        "selection.method": "learnalign",
        "selection.num_bootstrap": 0,
        "training.problems_per_step": PER_STEP,
    }
    return load_config(model.preset, overrides=options | more)


def run_pool(model: Model, pool: Pool, seed: int, rules: list[str]) -> list[dict[str, Any]]:
    """Score a pool once, and train on every rule's choice; return a row a training."""
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.select import run

    folder = model.work / pool.name / f"seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "pool.jsonl"
    universe, mixture_signal = model.work / "data", model.mixture_signal
    paying_pools.write(data, pool, universe, seed=seed, mixture_signal=mixture_signal)
    begin = time.process_time()
    selection = run(configured(model, folder / "selection", data, seed), progress=Progress("none"))
    scores, seconds = selection.scores, time.process_time() - begin
    stages = _stage_seconds(folder / "selection")
    rates = scores["success_rate"].to_numpy()
    about = asdict(pool) | {
        "policy": model.policy(),
        "pool": pool.name,
        "seed": seed,
        "commit": machine(ROOT)["learnalign"]["commit"],
        "measured_signal": float(((rates > 0) & (rates < 1)).mean()),
        "success_rate": float(rates.mean()),
        "selection_s": round(seconds, 3),
        "stage_s": stages,
    }
    problems = {row["id"]: row for row in paying_pools.read(data)}
    count, ids = round(BUDGET * scores.num_rows), scores["problem_id"].to_pylist()
    scored = Scored.of(scores, _unit_gradients(folder / "selection"))
    rows = []
    for rule in rules:
        plain = rule.removesuffix(" with KL")
        chosen = ids if rule == "full" else choose(scored, plain, count, seed)
        here = [problems[name] for name in chosen]
        row = about | {"rule": rule, "num_chosen": len(chosen)}
        row["noise_share"] = float(np.mean([problem["noise"] != "none" for problem in here]))
        row["sources"] = len({problem["source"] for problem in here})
        path = folder / f"{rule.replace(' ', '-')}.jsonl"
        paying_pools.save(path, here)
        passes = PASSES + model.longer if rule in UNCHOSEN else PASSES
        marks = [round(each * count / PER_STEP) for each in passes]
        kl_beta = KL if rule != plain else 0.0
        rows.append(row | {"readings": train_on(model, path, seed, marks, kl_beta)})
    shutil.rmtree(folder / "selection", ignore_errors=True)
    return rows


def train_on(
    model: Model, problems: Path, seed: int, marks: list[int], kl_beta: float
) -> list[dict[str, Any]]:
    """Train on some problems; return the accuracy and the processor seconds after some steps."""
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.train import train

    out = problems.with_suffix("")
    more = {"training.steps": marks[-1], "training.kl_beta": kl_beta}
    config, test = (
        configured(model, out, problems, seed, **more),
        model.work / "data" / "test.jsonl",
    )
    readings: list[dict[str, Any]] = []
    clock = {"spent": 0.0, "since": time.process_time()}

    def after_step(step: dict[str, Any], policy: Any) -> None:
        clock["spent"] += time.process_time() - clock["since"]
        if step["step"] + 1 in marks:
            accuracy, _ = greedy_accuracy(test, config, policy)
            reading = {"steps": step["step"] + 1, "seconds": round(clock["spent"], 3)}
            readings.append(reading | {"accuracy": accuracy})
        clock["since"] = time.process_time()

    train(config, progress=Progress("none"), after_step=after_step)
    shutil.rmtree(out)
    return readings


def _unit_gradients(run: Path) -> dict[str, Floats]:
    """Return the gradients of norm 1 by problem."""
    from learnalign.runs.folder import RunFolder
    from learnalign.storage.sketch_column import from_column

    found: dict[str, Floats] = {}
    for table in RunFolder(run).shards("gradients"):
        rows, valid = from_column(table["sketch"])
        for name, row, known in zip(table["problem_id"].to_pylist(), rows, valid, strict=True):
            norm = float(np.linalg.norm(row.astype(np.float64)))
            if known and norm > 0.0:
                found[name] = row.astype(np.float64) / norm
    return found


def _stage_seconds(run: Path) -> dict[str, float]:
    from learnalign.runs.folder import RunFolder

    stages = RunFolder(run).manifest.stages
    return {
        name: round(sum(shard.seconds for shard in stages[name].shards.values()), 3)
        for name in ("rollouts", "verdicts", "gradients")
    }


def prepare(model: Model) -> None:
    """Write the problems and train the tiny model on others, where they are missing."""
    import tiny_model

    if not (model.work / "data" / "test.jsonl").is_file():
        paying_pools.write_universe(model.work / "data", num_test=model.num_test)
    if model.name == "tiny" and not (model.path / "tokenizer.json").is_file():
        tiny_model.make(model.path, model.work / "data")


def measure(
    model: Model, pools: list[Pool], seeds: range, rules: list[str], lines: Lines, jobs: int
) -> None:
    """Run what is left, pool by pool."""
    here = str(ROOT / "benchmarks")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    left = [(pool, seed, todo) for seed in seeds for pool in pools
            if (todo := missing(lines, model, pool, seed, rules))]  # fmt: skip
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool_:
        jobs_ = [pool_.submit(run_pool, model, pool, seed, todo) for pool, seed, todo in left]
        for done in as_completed(jobs_):
            if done.exception() is not None:
                pool_.shutdown(wait=False, cancel_futures=True)
            for row in done.result():
                lines.add(row)
            print(time.strftime("%H:%M:%S"), row["pool"], row["seed"], flush=True)


def missing(lines: Lines, model: Model, pool: Pool, seed: int, rules: list[str]) -> list[str]:
    """Return the rules without a line of this policy."""
    known = {"policy": model.policy(), "pool": pool.name, "seed": seed}
    return [rule for rule in rules if not lines.has(**known, rule=rule)]


def main() -> None:
    """Measure, or report what has been measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny", choices=MODELS)
    parser.add_argument("--pools", help="Separated by commas.")
    parser.add_argument("--rules", help="Separated by commas.")
    parser.add_argument("--seeds", default="0:8", help="FIRST:END")
    parser.add_argument("--jobs", type=int, default=2, help="Pools side by side.")
    parser.add_argument("--dry-run", action="store_true", help="Only name what is left to do.")
    parser.add_argument("--tables", action="store_true", help="Only print the tables.")
    given = parser.parse_args()
    begin, model = time.monotonic(), MODELS[given.model]
    lines = Lines(RESULTS / f"{model.results}.jsonl")
    tiny = model.name == "tiny"
    wanted = given.pools.split(",") if given.pools else () if tiny else DECIDING_POOLS
    pools = [pool for pool in POOLS if pool.name in wanted or not wanted]
    rules = given.rules.split(",") if given.rules else list(RULES if tiny else DECIDING_RULES)
    seeds = range(*map(int, given.seeds.split(":")))
    if not given.tables:
        prepare(model)
    if given.dry_run:
        for pool in pools:
            for seed in seeds:
                left = missing(lines, model, pool, seed, rules)
                print(pool.name, seed, ", ".join(left) or "done")
        return
    if not given.tables:
        measure(model, pools, seeds, rules, lines, given.jobs)
    import paying_forecast
    import paying_tables

    found = []
    for policy, rows in paying_tables.by_policy(lines.rows).items():
        found.append(paying_tables.tables(rows))
        print(f"\npolicy {policy}\n{paying_tables.text(found[-1])}")
    figures, gains = paying_tables.figures(found[0]), []
    if tiny:
        for rows in paying_tables.by_policy(lines.rows).values():
            if any(row["rule"] in VARIANTS[1:] for row in rows):
                found.append(paying_tables.across(rows, VARIANT_POOLS))
                print("\n" + paying_tables.across_text(found[-1]))
        gains = paying_forecast.tables(lines.rows)
        print("\n" + paying_forecast.text(gains))
        figures |= paying_forecast.figures(lines.rows)
    else:
        gains = paying_forecast.of_another_model(lines.rows)
        print("\n" + paying_forecast.text_of_another_model(gains))
    every = [row for table in [*found, gains] for row in table]
    publish(model.results, begin, figures, every, folder=RESULTS, show=False)
    paying_tables.draw(model.work / "paying.html", found[0])


if __name__ == "__main__":
    main()
