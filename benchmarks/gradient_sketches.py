"""What the sketches of a training's gradients say about problems, and what they cost.

Problems of generated arithmetic are sampled twice. Of those with a signal in both samplings each
has two gradients: the cosine of the two says how far the rollouts agree on a direction. Problems
with random rewards (coins) and questions that can only be guessed are compared with the others,
for exact gradients and for sketches of several layers and widths.

The cost is measured on training steps of the same pool: learning with and without sketches,
alternated, in processor time of one thread, as a share of sampling and learning.
"""

import json
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

import curriculum_pools
from curriculum_pools import Pool
from harness import ROOT, Figure, publish
from learnalign import load_config
from learnalign.gradients.engine import Group
from learnalign.gradients.group_sketches import GroupSketcher, spread_layers
from learnalign.models.loading import load_model, load_tokenizer, load_trainable
from learnalign.rollouts.transformers import TransformersEngine
from learnalign.training.learner import Learner
from sketch_settings import SEEDS, SETTINGS, Measurement, Setting, cosines_of

WORK = ROOT / "runs" / "bench-gradient-sketches"
POOL = Pool(300, coins=0.1, guesses=0.1)
NOISE = {"mixture": "none", "coins": "coin", "guesses": "guess"}
AT_MOST = {"mixture": 40, "coins": 28, "guesses": 20}
TOGETHER = 4  # problems of a batch, which divides their number
STEPS, PER_STEP, REPEATS = 16, 8, 3
QUARTILES = (25, 50, 75)
Floats, Row = NDArray[np.float64], dict[str, Any]


def read_pool(config: Any) -> tuple[list[Row], pa.Table]:
    """Write the problems; return their rows, and a table with the prompts."""
    curriculum_pools.write(WORK, POOL, seed=77)
    lines = (WORK / "pool.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    tokenizer = load_tokenizer(config.model)
    texts = [config.prompt.template.replace("{{ row.question }}", row["question"]) for row in rows]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    return rows, pa.table({"problem_id": [row["id"] for row in rows], "prompt_ids": prompts})


def sample(engine: TransformersEngine, rows: list[Row], table: pa.Table, step: int) -> list[Group]:
    """Sample and reward the rollouts of some problems; both depend on the step."""
    engine.seed = step
    groups = {row["id"]: Group() for row in rows}
    texts: dict[str, list[str]] = {row["id"]: [] for row in rows}
    for rollout in engine.sample(table).to_pylist():
        groups[rollout["problem_id"]].responses.append(rollout["token_ids"])
        texts[rollout["problem_id"]].append(rollout["completion"])
    for row in rows:
        count = len(texts[row["id"]])
        columns = {key: [row[key]] * count for key in ("id", "answer", "noise")}
        state = SimpleNamespace(global_step=step)
        groups[row["id"]].rewards = curriculum_pools.reward(
            texts[row["id"]], **columns, trainer_state=state
        )
    return list(groups.values())


def differs(group: Group) -> bool:
    return len(set(group.rewards)) > 1


def area(high: Floats, low: Floats) -> float:
    """Return the area under the ROC curve: the chance that one of ``high`` is above one of ``low``.

    Equal values count half.
    """
    gap = high[:, None] - low
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def information(config: Any, rows: list[Row], table: pa.Table) -> list[Row]:
    """Sample twice, and compare what all settings say about the problems."""
    model = load_model(config.model, dtype=torch.bfloat16)
    engine = TransformersEngine(model, load_tokenizer(config.model), config.rollouts, seed=0)
    samplings = [sample(engine, rows, table, step) for step in (0, 1)]
    noise = np.array([row["noise"] for row in rows])
    signal = np.array([all(map(differs, pair)) for pair in zip(*samplings, strict=True)])
    chosen = np.concatenate(
        [np.flatnonzero(signal & (noise == NOISE[k]))[:most] for k, most in AT_MOST.items()]
    )
    chosen = np.random.default_rng(0).permutation(chosen)[: len(chosen) // TOGETHER * TOGETHER]
    prompts = table["prompt_ids"].to_pylist()
    measurement = Measurement(model, config.rollouts.max_tokens)
    for start in range(0, len(chosen), TOGETHER):
        batch = [*chosen[start : start + TOGETHER]] * 2
        half = len(batch) // 2
        groups = [samplings[k // half][i] for k, i in enumerate(batch)]
        measurement([prompts[i] for i in batch], groups)
    kinds = {name: noise[chosen] == which for name, which in NOISE.items()}
    return [described(measurement, setting, kinds) for setting in SETTINGS]


def described(measurement: Measurement, setting: Setting, kinds: dict[str, Any]) -> Row:
    """Describe one setting; figures of sketches are means over their seeds."""
    row = {"setting": setting._asdict(), "values": setting.size}
    if setting.width is None:
        return row | describe(measurement.exact[setting], kinds)
    truth = np.stack(measurement.exact[setting._replace(width=None)])
    pairs = ~np.eye(truth.shape[1], dtype=bool)  # a cosine with itself is always 1
    found = []
    for seed in SEEDS:
        batches = measurement.sketches[setting, seed]
        cosines = [cosines_of(values @ values.T) for values in batches]
        first = np.concatenate([values[: len(values) // 2] for values in batches])
        units = first / np.linalg.norm(first, axis=1, keepdims=True)
        alignment = (units @ units.sum(0) - 1.0) / (len(units) - 1)
        found.append(
            describe(cosines, kinds)
            | {"error": float(np.square(np.stack(cosines) - truth)[:, pairs].mean() ** 0.5)}
            | {"area of alignment": area(alignment[kinds["mixture"]], alignment[kinds["coins"]])}
        )
    return row | {name: np.mean([one[name] for one in found], axis=0).tolist() for name in found[0]}


def describe(batches: list[Floats], kinds: dict[str, Any]) -> Row:
    """Describe cosines between the two samplings, of the same and of different problems."""
    between = [cosines[: len(cosines) // 2, len(cosines) // 2 :] for cosines in batches]
    same = np.concatenate([np.diag(found) for found in between])
    others = np.concatenate([found[~np.eye(len(found), dtype=bool)] for found in between])
    row = {name: np.percentile(same[some], QUARTILES).tolist() for name, some in kinds.items()}
    return row | {
        "different problems": np.percentile(others, QUARTILES).tolist(),
        "area, coins": area(same[kinds["mixture"]], same[kinds["coins"]]),
        "area, guesses": area(same[kinds["mixture"]], same[kinds["guesses"]]),
    }


def cost(config: Any, rows: list[Row], table: pa.Table) -> list[Row]:
    """Measure steps of a training: sampling, and learning with and without sketches, in seconds."""
    model = load_trainable(
        config.model, parameters="full", lora_rank=1, seed=0, dtype=torch.bfloat16
    )
    engine = TransformersEngine(model, load_tokenizer(config.model), config.rollouts, seed=0)
    sketcher = GroupSketcher(spread_layers(model))
    # So slow that the model stays the same: all steps of a batch do the same work.
    training = config.training.model_copy(update={"learning_rate": 1e-12})
    learner = Learner(
        model,
        training,
        config.gradients,
        temperature=1.0,
        max_tokens=config.rollouts.max_tokens,
        num_steps=10**6,
        dtype=torch.bfloat16,
    )
    measured = []
    for step in range(-1, STEPS):  # the first is not counted
        index = np.random.default_rng(step + 1).choice(len(rows), PER_STEP, replace=False)
        some, part = [rows[i] for i in index], table.take(index)
        begin = time.process_time()
        groups = sample(engine, some, part, step + 2)
        row: Row = {"sampling_s": time.process_time() - begin, "groups": sum(map(differs, groups))}
        seconds: dict[str, list[float]] = {"learning_s": [], "sketching_s": []}
        for repeat in range(2 * REPEATS):
            name = ("learning_s", "sketching_s")[(repeat + step) % 2]
            learner.sketcher = sketcher if name == "sketching_s" else None
            begin = time.process_time()
            learner.step(part["prompt_ids"].to_pylist(), groups)
            seconds[name].append(time.process_time() - begin)
        row |= {name: min(values) for name, values in seconds.items()}
        row["share"] = (row["sketching_s"] - row["learning_s"]) / (
            row["sampling_s"] + row["learning_s"]
        )
        if step >= 0:
            measured.append(row)
    return measured


def main() -> None:
    """Compare settings, measure the cost, and publish both."""
    begin = time.monotonic()
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    config = load_config(
        ROOT / "benchmarks" / "presets" / "smollm2.yaml",
        overrides={"data.paths": (str(WORK / "pool.jsonl"),), "run.out": str(WORK / "run")},
    )
    rows, table = read_pool(config)
    compared = information(config, rows, table)
    measured = cost(config, rows, table)
    for row in compared:
        kind, count, width, balanced = row["setting"].values()
        name = f"{kind} x {count}, {width or 'exact'}{'' if balanced else ', own scales'}"
        numbers = [
            "/".join(f"{value:.2f}" for value in np.atleast_1d(row[key])) for key in list(row)[2:]
        ]
        sys.stdout.write(f"{name:36} {'  '.join(numbers)}\n")
    default = compared[SETTINGS.index(Setting("MLP down", 4, 16, True))]
    shares = [row["share"] for row in measured]
    spread = float(np.subtract(*np.percentile(shares, [75, 25])) / 2)
    figures = {
        "share of the step": Figure(statistics.median(shares), "", "lower", spread, goal=0.05),
        "share of learning": Figure(
            statistics.median(row["sketching_s"] / row["learning_s"] - 1 for row in measured),
            "",
            "lower",
        ),
        "error of a cosine": Figure(default["error"], "", "lower"),
        "area, coins": Figure(default["area, coins"], "", "higher"),
        "area, guesses": Figure(default["area, guesses"], "", "higher"),
    }
    publish("gradient_sketches", begin, figures, compared + measured)


if __name__ == "__main__":
    main()
