"""How useful rollouts from a training's last steps are for the next selection.

A policy is trained for some steps, with each problem in one step. Then all problems are sampled
twice with the trained policy, A and B. Success rates, policies and rankings from old rollouts are
compared with A; B shows how much fresh rollouts differ from A.
"""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from harness import ROOT, Figure, publish
from learnalign import load_config, scores
from learnalign.config import ModelConfig
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.logprobs import LogProbs
from learnalign.models.loading import load_model, load_tokenizer, resolve_device, resolve_dtype
from learnalign.rollouts.reused import recent_groups
from learnalign.rollouts.transformers import TransformersEngine
from learnalign.storage.sketch_column import from_column
from learnalign.tables import ROLLOUTS
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import open_verifier
from learnalign.workflows.train import train

WORK = ROOT / "runs" / "bench-reuse"
STEPS, PER_STEP = 12, 20
AGES = ((1, 2), (3, 4), (5, 8), (9, 12))
HORIZONS = (2, 4, 8, 12)


def configure() -> Any:
    """Return the training demo's settings, on a random subset of its pool."""
    return load_config(
        ROOT / "examples" / "train-demo.yaml",
        overrides={
            "training.num_problems": STEPS * PER_STEP,
            "training.problems_per_step": PER_STEP,
            "training.epochs": 1.0,
            "run.out": str(WORK / "training"),
        },
    )


def sampled(config: Any, model: Any, tokenizer: Any, problems: pa.Table, seed: int) -> pa.Table:
    """Sample all problems, or load the samples of an earlier call."""
    path = WORK / f"fresh-{seed}.parquet"
    if not path.exists():
        engine = TransformersEngine(model, tokenizer, config.rollouts, seed=seed)
        pq.write_table(engine.sample(problems), path)
    return pq.read_table(path)


def main() -> None:
    """Train, sample, score and compare."""
    begin = time.monotonic()
    config = configure()
    done = train(config, progress=Progress())
    problems = pq.read_table(WORK / "training" / "problems")
    history = done.history()
    trained = set(history["problem_id"].to_pylist())
    problems = problems.filter(pa.array([n in trained for n in problems["problem_id"].to_pylist()]))
    ids = problems["problem_id"].to_pylist()
    device = resolve_device("cpu")
    policy = ModelConfig(path=str(done.model), device="cpu")
    model = load_model(policy, dtype=resolve_dtype("auto", device))
    tokenizer = load_tokenizer(policy)
    fresh = {
        name: sampled(config, model, tokenizer, problems, seed)
        for name, seed in (("A", 101), ("B", 102))
    }
    groups = recent_groups(
        lambda: [history], steps=STEPS, num_rollouts=config.rollouts.num_rollouts
    )
    old = pa.Table.from_pylist([row for name in ids for row in groups[name]], schema=ROLLOUTS)
    tables = {**fresh, "old": old}
    rates: dict[str, np.ndarray] = {}
    units: dict[str, np.ndarray] = {}
    engine = GradientEngine(
        load_model(policy, dtype=resolve_dtype("auto", device)),
        config.gradients, temperature=1.0, seed=0, max_tokens=config.rollouts.max_tokens,
    )  # fmt: skip
    with open_verifier(config.verifier) as verifier:
        for name, table in tables.items():
            verdicts = verifier.verify(problems, table)
            rewards = np.array(verdicts["reward"].to_pylist()).reshape(len(ids), -1)
            rates[name] = rewards.mean(1)
            rows = engine.rows(problems, table, verdicts)
            values, valid = from_column(rows["sketch"])
            units[name] = np.where(valid[:, None], values.astype(float), 0.0)
    steps = dict(zip(history["problem_id"].to_pylist(), history["step"].to_pylist(), strict=True))
    ages = np.array([STEPS - steps[name] for name in ids])
    drift = drifts(engine, problems, old)
    rows = compare(rates, units, ages, drift)
    publish("reuse", begin, figures_of(rows), rows)


def drifts(engine: GradientEngine, problems: pa.Table, old: pa.Table) -> np.ndarray:
    """Return for each problem the mean of log pi_then / pi_now over its old tokens."""
    model = engine.gradients.backward.model
    now = LogProbs(model, temperature=1.0).table(problems, old)["logprobs"].to_pylist()
    then = old["logprobs"].to_pylist()
    gaps = [np.mean(np.array(a) - np.array(b)) for a, b in zip(then, now, strict=True)]
    return np.array(gaps).reshape(problems.num_rows, -1).mean(1)


def compare(
    rates: dict[str, np.ndarray], units: dict[str, np.ndarray], ages: np.ndarray, drift: np.ndarray
) -> list[dict[str, Any]]:
    """Compare success rates (by age) and rankings (by horizon) with fresh rollouts."""
    rows: list[dict[str, Any]] = []
    for low, high in AGES:
        some = (ages >= low) & (ages <= high)
        gap = (rates["old"] - rates["A"])[some]
        noise = (rates["B"] - rates["A"])[some]
        rows.append({
            "age": f"{low} to {high}", "problems": int(some.sum()),
            "squared_gap": float((gap**2).mean()), "squared_noise": float((noise**2).mean()),
            "bias": float(gap.mean()), "bias_error": float(gap.std() / np.sqrt(some.sum())),
            "drift_nats": float(drift[some].mean()),
        })  # fmt: skip
    truth = scores(rates["A"], units["A"]).score
    for horizon in (0, *HORIZONS):
        taken = ages <= horizon
        mixed = scores(
            np.where(taken, rates["old"], rates["B"]),
            np.where(taken[:, None], units["old"], units["B"]),
        ).score
        rows.append({
            "horizon": horizon, "taken_over": int(taken.sum()),
            "spearman": float(stats.spearmanr(truth, mixed).statistic),
            "overlap": overlap(truth, mixed),
        })  # fmt: skip
    return rows


def overlap(truth: np.ndarray, other: np.ndarray) -> float:
    """Return the overlap of the best thirds."""
    count = len(truth) // 3
    best = [set(np.argsort(-values)[:count].tolist()) for values in (truth, other)]
    return len(best[0] & best[1]) / count


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Figure]:
    """Return the figures quoted in the docs on training."""
    figures = {}
    for row in rows:
        if "age" in row:
            figures[f"age {row['age']}: squared gap / that of fresh ones"] = Figure(
                row["squared_gap"] / row["squared_noise"], "x", "lower"
            )
            figures[f"age {row['age']}: drift"] = Figure(row["drift_nats"], "nats", "lower")
        else:
            name = f"last {row['horizon']} steps taken over: Spearman to fresh"
            figures[name] = Figure(row["spearman"], "", "higher")
    return figures


if __name__ == "__main__":
    main()
