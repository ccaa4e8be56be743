"""One cell of the comparison (select, train, evaluate), and the pools behind it."""

import json
import resource
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign import load_config
from learnalign.config import Config
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.selecting.order import random_keys, ranking
from learnalign.terminal.progress import Progress
from learnalign.workflows import select
from learnalign.workflows.evaluate import evaluate
from learnalign.workflows.staged import run_staged
from learnalign.workflows.train import train


@dataclass(frozen=True)
class Preset:
    """A model, a pool and training options: everything except method, budget and seed."""

    name: str
    config: Path
    """Options of select and train; its paths are relative to the current folder."""
    overrides: dict[str, Any]
    work: Path
    """Folder of its problems, model, pools and cells."""
    test: str
    """Held-out problems."""
    steps: int
    whole: int
    """Steps of one pass over the pool."""
    warmup: int
    """Number of warm-up problems."""
    num_samplings: int
    """Number of independent samplings of the pool; seed s uses number s modulo this."""
    budget: float = 0.1
    """Budget of the main table, as a share of the pool."""
    samples: int = 4
    """k of mean@k."""
    num_sampled: int | None = None
    """Number of held-out problems for mean@k; all if None."""

    def configure(self, out: Path, **changes: Any) -> Config:
        """Return the options of one run."""
        options = {key.replace("__", "."): value for key, value in changes.items()}
        return load_config(self.config, overrides=self.overrides | options | {"run.out": str(out)})


@dataclass(frozen=True)
class Cell:
    """A selection and a number of training steps."""

    method: str
    """A selection method, optionally with ``+warmup``, ``+per-source`` or ``+half`` (the other half
    at random); ``full``; or ``stages2``."""
    budget: float
    """Share of the pool; 1 for ``full``."""
    seed: int
    steps: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.method}-{self.budget:g}-steps{self.steps}-seed{self.seed}"

    @property
    def pool(self) -> str:
        """The pool it selects from: sampled with the initial model, or the warmed-up one."""
        return "warm" if "+warmup" in self.method else "base"


def make_pool(preset: Preset, work: Path, pool: str, number: int) -> dict[str, Any]:
    """Sample and verify the whole pool and compute its gradients; return the cost of each part."""
    out = work / f"pool-{pool}-{number}"
    row: dict[str, Any] = {"pool": pool, "number": number, "folder": str(out)}
    warm = pool == "warm"
    changes: dict[str, Any] = {"run__seed": 100 + number, "selection__method": "learnalign"}
    if not warm:
        changes["gradients__kl_beta"] = 0.0  # the KL of the initial model to itself is zero
    config = preset.configure(out, **changes)
    warmup = {"warmup": preset.warmup if warm else None}
    config = config.model_copy(update={"selection": config.selection.model_copy(update=warmup)})
    begin = _clock()
    done = select.run(config, progress=Progress())
    row["whole"] = _since(begin)
    begin = _clock()
    # The same tables, plus the features.
    config = config.model_copy(
        update={"selection": config.selection.model_copy(update={"method": "features"})}
    )
    select.run(config, progress=Progress())
    row["features"] = _since(begin)
    folder = RunFolder(out)
    for stage in ("rollouts", "verdicts", "gradients", "features"):
        row[f"{stage}_s"] = sum(s.seconds for s in folder.manifest.stages[stage].shards.values())
    if warm:
        steps = RunFolder(out / "warmup", TRAINING_TABLES).table("steps")
        row["warmup_s"] = _seconds(steps)
    row["summary"] = {k: v for k, v in done.summary.items() if k not in ("stability", "warnings")}
    row["stability"] = (done.summary["stability"] or {}).get("expected_overlap")
    shutil.rmtree(out / "warmup" / "model", ignore_errors=True)
    return row


def run_cell(preset: Preset, work: Path, cell: Cell) -> dict[str, Any]:
    """Select, train and evaluate; return the cell's row, which is also saved in its folder."""
    out = work / "cells" / cell.name
    kept = out / "row.json"
    if kept.is_file():
        row: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return row
    # Start again after an interruption: a model may be missing.
    shutil.rmtree(out, ignore_errors=True)
    run = _stages_cell if cell.method.startswith("stages") else _plain_cell
    row = run(preset, work, cell)
    kept.write_text(json.dumps(row), encoding="utf-8")
    return row


def _plain_cell(preset: Preset, work: Path, cell: Cell) -> dict[str, Any]:
    number = cell.seed % preset.num_samplings
    pool, out = work / f"pool-{cell.pool}-{number}", work / "cells" / cell.name
    out.mkdir(parents=True, exist_ok=True)
    row: dict[str, Any] = asdict(cell) | {"folder": str(out), "pool": str(pool)}
    begin = _clock()
    ids = _choose(pool, cell)
    row["choosing"] = _since(begin)
    (out / "ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
    row |= _described(pool, ids)
    begin = _clock()
    trained = train(
        preset.configure(
            out / "training",
            data__paths=(str(pool),),
            training__subset=str(out / "ids.txt"),
            training__steps=cell.steps,
            run__seed=cell.seed,
        ),
        progress=Progress("none"),
    )
    row["training"] = _since(begin)
    row["training_s"] = _seconds(trained.steps)
    steps = trained.steps.to_pylist()
    row["num_signal"] = sum(step["num_signal"] for step in steps)
    row["rewards"] = [round(step["mean_reward"], 4) for step in steps]
    begin = _clock()
    row |= judge(preset, trained.model, out / "evaluation", cell.seed)
    row["evaluating"] = _since(begin)
    shutil.rmtree(trained.model)
    return row


def _stages_cell(preset: Preset, work: Path, cell: Cell) -> dict[str, Any]:
    """Train in stages, with the same total number of steps and selected problems.

    The first stage selects from the same pool as the seed's other cells; later stages sample the
    whole pool again with the trained policy. No solved problems are mixed in.
    """
    count = int(cell.method.removeprefix("stages"))
    number = cell.seed % preset.num_samplings
    out = work / "cells" / cell.name
    first = out / "stages" / "stage-1" / "selection"
    if not first.exists():
        shutil.copytree(work / f"pool-base-{number}", first)
    row: dict[str, Any] = asdict(cell) | {"folder": str(out), "pool": str(first)}
    config = preset.configure(out / "stages", run__seed=100 + number, stages__count=count)
    size = RunFolder(first).table("problems").num_rows
    sections = {
        "selection": {"budget": round(cell.budget * size / count), "warmup": None},
        "training": {"steps": cell.steps // count},
        "stages": {"easy_share": 0.0, "reuse_steps": 0},
    }
    config = config.model_copy(
        update={
            name: getattr(config, name).model_copy(update=values)
            for name, values in sections.items()
        }
    )
    begin = _clock()
    stages = run_staged(config, progress=Progress("none"))
    row["staging"] = _since(begin)
    row["num_kept"] = [stage.num_kept for stage in stages]
    row["pool_success_rates"] = [stage.mean_success_rate for stage in stages]
    trainings = [RunFolder(s.training, TRAINING_TABLES).table("steps") for s in stages]
    row["training_s"] = _seconds(pa.concat_tables(trainings))
    row |= judge(preset, stages[-1].model, out / "evaluation", cell.seed)
    for stage in stages:
        shutil.rmtree(stage.model)
    return row


def judge(preset: Preset, model: Path, out: Path, seed: int) -> dict[str, Any]:
    """Return greedy accuracy and mean@k on the held-out problems, and greedy accuracy by kind."""
    row: dict[str, Any] = {}
    modes = (("greedy", 0, None), ("sampled", preset.samples, preset.num_sampled))
    for mode, samples, limit in modes:
        config = preset.configure(
            out / mode, model__path=str(model), data__limit=limit, run__seed=1000 + seed
        )
        found = evaluate(
            config, [preset.test], samples=samples, greedy=samples == 0, progress=Progress("none")
        )
        (result,) = found.results
        row[mode] = {"mean": result.accuracy.mean, "num_problems": result.accuracy.num_problems}
        row[mode]["by_kind"] = _by_kind(found.scores, out / mode)
    return row


def _choose(pool: Path, cell: Cell) -> list[str]:
    folder = RunFolder.existing(pool, needs="gradients")
    config = load_config(pool / "config.yaml", overrides={"run.out": str(pool)})
    rule, *how = cell.method.split("+")
    selection = config.selection.model_copy(
        update={
            "method": "random" if rule == "full" else rule,
            "per_source": "per-source" in how,
            "budget": cell.budget,
            "num_bootstrap": 0,
        }
    )
    if cell.budget == 1.0:
        selection = selection.model_copy(update={"budget": None})
    run = config.run.model_copy(update={"seed": cell.seed})
    changed = config.model_copy(update={"selection": selection, "run": run})
    scores = select.ranked(folder, changed).scores
    ranked: list[str] = scores["problem_id"].to_pylist()
    if cell.budget == 1.0:
        return ranked
    count = int(pc.sum(scores["selected"]).as_py())
    if "half" not in how:
        return ranked[:count]
    kept = ranked[: count // 2]
    rest = sorted(set(ranked) - set(kept))
    keys = random_keys(rest, cell.seed)
    return kept + [rest[i] for i in ranking(keys, keys)[: count - len(kept)]]


def _described(pool: Path, ids: list[str]) -> dict[str, Any]:
    """Describe the selection by kind, success rate and length."""
    folder = RunFolder(pool)
    wanted = pa.array(ids)
    problems = folder.table("problems")
    rows = problems.filter(pc.is_in(problems["problem_id"], wanted))
    rollouts, verdicts = folder.table("rollouts"), folder.table("verdicts")
    selected = pc.is_in(verdicts["problem_id"], wanted)
    rewards = verdicts.filter(selected).group_by("problem_id").aggregate([("reward", "mean")])
    rates = rewards["reward_mean"]
    kinds, noise = rows["source"].value_counts(), dict[str, int]()
    for text in rows["row"].to_pylist():
        kind = json.loads(text).get("noise", "none")
        noise[kind] = noise.get(kind, 0) + 1
    return {
        "num_chosen": len(ids),
        "kinds": {kind["values"]: kind["counts"] for kind in kinds.to_pylist()},
        "noise": noise,
        "success_rate": pc.mean(rates).as_py(),
        "with_signal": pc.mean(
            pc.and_(pc.greater(rates, 0.0), pc.less(rates, 1.0)).cast("int8")
        ).as_py(),
        "response_tokens": pc.mean(
            pc.list_value_length(rollouts.filter(selected)["token_ids"])
        ).as_py(),
        "prompt_tokens": pc.mean(pc.list_value_length(rows["prompt_ids"])).as_py(),
    }


def _by_kind(scores: pa.Table, out: Path) -> dict[str, float]:
    (manifest,) = out.glob("*/*/manifest.json")
    problems = RunFolder(manifest.parent).table("problems").select(["problem_id", "source"])
    joined = scores.join(problems, "problem_id").group_by("source").aggregate([("score", "mean")])
    return {row["source"]: row["score_mean"] for row in joined.to_pylist()}


def _seconds(steps: pa.Table) -> dict[str, float]:
    names = ("sampling_s", "verifying_s", "learning_s")
    return {name: pc.sum(steps[name]).as_py() for name in names}


def _clock() -> tuple[float, float]:
    return time.monotonic(), _processor_s()


def _since(begin: tuple[float, float]) -> dict[str, float]:
    return {"wall_s": time.monotonic() - begin[0], "processor_s": _processor_s() - begin[1]}


def _processor_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
