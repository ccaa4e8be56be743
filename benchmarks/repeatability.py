"""How much of a selection is rollout noise, and whether alignment predicts improvement.

Problems with a signal in a first sampling, which is discarded, are sampled another 64 times. The
gradients of halves A and B are computed with the same sketch and compared. Then a policy is trained
on other problems, and the rise over half B's success rate is compared with half A's scores.
"""

import json
import shutil
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import rankdata

import arithmetic
from harness import ROOT, Figure, publish
from learnalign import load_config, scores
from learnalign.gradients.engine import GradientEngine
from learnalign.pipeline.problems import read_problems
from learnalign.pipeline.resources import Resources
from learnalign.rollouts.transformers import TransformersEngine
from learnalign.runs.folder import RunFolder
from learnalign.storage.sketch_column import from_column
from learnalign.terminal.progress import Progress
from learnalign.verifying.verifier import open_verifier
from learnalign.workflows.train import train

WORK = ROOT / "runs" / "bench-repeatability"
POOL, LOOKED_AT, PER_KIND, STEPS, TRAININGS = 2400, 1100, 45, 40, (0, 1)
LOOK, FRESH, AFTER, SIZES = 8, 64, 16, (4, 8, 16, 32)
DRAWS, TIE_BREAKS = 500, 100  # resamples of the problems for an interval; random tie-breaks
SHARES, FACTORS = (0.10, 0.25), ("score", "V", "alignment")
PREDICTORS = (*FACTORS, "alignment without itself", "inner product", "norm", "p")
Floats = NDArray[np.float64]
Row, Seen = dict[str, Any], dict[str, Floats]
mean = partial(np.mean, axis=-1)


def configure(data: Path, **changes: Any) -> Any:
    """Return the preset's options."""
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    overrides = {"data.paths": (str(data),), "run.out": str(WORK / "pool")} | overrides
    return load_config(ROOT / "benchmarks" / "presets" / "smollm2.yaml", overrides=overrides)


def generated_problems() -> pa.Table:
    """Create the pool and its prompts, in random order."""
    arithmetic.write(WORK / "data", size=POOL, num_test=0, num_dev=0, seed=77)
    config = configure(WORK / "data" / "pool.jsonl")
    folder = RunFolder(config.run.out, ("problems",))
    if not folder.begin("problems", {}).complete:
        read_problems(folder, config, Resources(config), Progress("none"))
    return folder.table("problems")


def sampled(
    name: str, problems: pa.Table, count: int, seed: int, model: Path | None = None
) -> tuple[pa.Table, Floats]:
    """Sample and verify, or load; return the rollouts and their (n, count) rewards."""
    path = WORK / f"{name}.parquet"
    if not path.exists():
        changes = {} if model is None else {"model__path": str(model)}
        resources = Resources(configure(WORK, rollouts__num_rollouts=count, **changes))
        policy, options = resources.model("rollouts"), resources.config.rollouts
        engine = TransformersEngine(policy, resources.tokenizer, options, seed=seed)
        rollouts = engine.sample(problems)
        rows = [json.loads(text) for text in problems["row"].to_pylist()]
        # Random rewards depend on id and text: new ids make them differ between samplings.
        salted = pa.array([json.dumps(row | {"id": f"{name}:{row['id']}"}) for row in rows])
        renamed = problems.drop(["row"]).append_column("row", salted)
        with open_verifier(resources.config.verifier) as verifier:
            verdicts = verifier.verify(renamed, rollouts)
        pq.write_table(rollouts.append_column("reward", verdicts["reward"]), path)
    table = pq.read_table(path)
    return table, np.array(table["reward"].to_pylist()).reshape(problems.num_rows, count)


def draw(problems: pa.Table) -> pa.Table:
    """Select the problems with a signal in the first sampling, at most PER_KIND per kind."""
    problems = problems.slice(0, LOOKED_AT)
    _, rewards = sampled("look", problems, LOOK, seed=1)
    source, signal = np.array(problems["source"].to_pylist()), rewards.std(1) > 0
    indices = [np.flatnonzero(signal & (source == kind))[:PER_KIND] for kind in arithmetic.KINDS]
    return problems.take(np.sort(np.concatenate(indices)))


def statistics_of(problems: pa.Table, rollouts: pa.Table, size: int, half: str) -> Seen:
    """Compute or load the statistics of a selection from the first ``size`` rollouts of a half."""
    path, first = WORK / f"gradients-{size}-{half}.parquet", 0 if half == "A" else FRESH // 2
    sample = np.array(rollouts["sample"].to_pylist())
    part = rollouts.filter(pa.array((sample >= first) & (sample < first + size)))
    if not path.exists():
        resources = Resources(configure(WORK))
        model, options = resources.model("gradients"), resources.config.gradients
        engine = GradientEngine(model, options, temperature=1.0, seed=0, max_tokens=6)
        pq.write_table(engine.rows(problems, part, part), path)
    table = pq.read_table(path)
    values, valid = from_column(table["sketch"])
    units = np.where(valid[:, None], values.astype(float), 0.0)
    p = np.array(part["reward"].to_pylist()).reshape(-1, size).mean(1)
    seen = scores(p, units)
    own = seen.learnability * (units**2).sum(1) / len(units)
    norm = np.array(table["gradient_norm"].to_pylist())
    return {
        "p": p, "V": seen.learnability, "alignment": seen.alignment, "score": seen.score,
        "alignment without itself": seen.alignment - own, "units": units,
        "norm": norm, "inner product": norm * (units @ (norm @ units)) / len(units),
    }  # fmt: skip


def after(problems: pa.Table, others: list[Row], seed: int) -> Floats:
    """Train on a random sample of the other problems; return the (n, AFTER) rewards afterwards."""
    name, out, model = f"after-{seed}", WORK / f"training-{seed}", None
    if not (WORK / f"{name}.parquet").exists():
        sample = np.random.default_rng(seed).permutation(len(others))[: STEPS * 8]
        data = WORK / "data" / f"training-{seed}.jsonl"
        data.write_text("".join(json.dumps(others[i]) + "\n" for i in sample), encoding="utf-8")
        config = configure(data, run__out=str(out), run__seed=seed, training__steps=STEPS)
        model = train(config, progress=Progress("none")).model
    rewards = sampled(name, problems, AFTER, seed=200 + seed, model=model)[1]
    shutil.rmtree(out / "model", ignore_errors=True)
    return rewards


def spearman(x: Any, y: Any, *given: Any) -> Floats:
    """Return the Spearman correlation along the last axis; partial if ``given`` has columns."""
    columns = [rankdata(column, axis=-1) for column in (x, y, *given)]
    x, y, *controls = [column - column.mean(-1, keepdims=True) for column in columns]
    if controls:
        design = np.stack(controls, -1)
        transposed = np.swapaxes(design, -1, -2)
        inverse = np.linalg.pinv(transposed @ design, hermitian=True, rcond=1e-9)
        x, y = (v - (design @ (inverse @ (transposed @ v[..., None])))[..., 0] for v in (x, y))
    return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


def best(values: Floats, share: float, seed: int) -> NDArray[np.bool_]:
    """Mark the best share along the last axis; ties are broken at random."""
    marks = np.zeros(values.shape, bool)
    order = np.lexsort((np.random.default_rng(seed).random(values.shape), -values), axis=-1)
    np.put_along_axis(marks, order[..., : round(share * values.shape[-1])], True, axis=-1)
    return marks


def overlap(x: Floats, y: Floats, share: float) -> Floats:
    """Return the overlap of two selections, each with its own tie-breaks."""
    one = best(x, share, 1)
    return (one & best(y, share, 2)).sum(-1) / one.sum(-1)


def among(x: Floats, y: Floats, marked: Floats, share: float) -> Floats:
    """Return the mean share of marked problems among the best by x and among the best by y."""
    one, two = best(x, share, 1), best(y, share, 2)
    return ((one * marked).sum(-1) + (two * marked).sum(-1)) / (2 * one.sum(-1))


def pairs(indices: Floats, cosines: Floats) -> Floats:
    """Return the mean cosine of pairs of different problems; the diagonal of cosines is 0."""
    times = np.stack([np.bincount(i.astype(int), minlength=len(cosines)) for i in indices])
    return ((times @ cosines) * times).sum(-1) / (times.sum(-1) ** 2 - (times**2).sum(-1))


def with_interval(statistic: Any, *columns: Any) -> list[float]:
    """Return a statistic of the problems with its 95 % bootstrap interval."""
    arrays = [np.asarray(column, dtype=float) for column in columns]
    if not len(arrays[0]):
        return []
    index = np.random.default_rng(0).integers(len(arrays[0]), size=(DRAWS, len(arrays[0])))
    resampled = statistic(*(array[index] for array in arrays))
    value = np.mean(statistic(*(np.tile(array, (TIE_BREAKS, 1)) for array in arrays)))
    return [round(float(v), 5) for v in (value, *np.nanpercentile(resampled, [2.5, 97.5]))]


def split_halves(a: Seen, b: Seen, some: Any, size: int) -> Row:
    """Compare halves of ``size`` rollouts over some problems."""
    row: Row = {"rollouts": size, "count": int(some.sum())}
    if (a["V"] * b["V"])[some].all():  # a problem without signal has no direction
        cosines = a["units"][some] @ b["units"][some].T
        row["cosine, same problem"] = with_interval(mean, np.diag(cosines))
        np.fill_diagonal(cosines, 0.0)
        row["cosine, others"] = with_interval(
            partial(pairs, cosines=cosines), np.arange(len(cosines))
        )
    for key in (*FACTORS, "norm", "p"):
        r = row[f"spearman, {key}"] = with_interval(spearman, a[key][some], b[key][some])
        # Spearman-Brown: the reliability is G / (G + noise), which is 0.8 for G = 4 * noise.
        row[f"rollouts for 0.8, {key}"] = [4 * size * (1 - r[n]) / r[n] for n in (0, 2, 1)]
    for share, key in product(SHARES, FACTORS):
        same = partial(overlap, share=share)
        row[f"overlap {share:.0%}, {key}"] = with_interval(same, a[key][some], b[key][some])
    return row


def of_kind(a: Seen, b: Seen, some: Any, rise: Floats) -> Row:
    """Describe some problems, and their share of the selections."""
    both = some & (a["V"] > 0) & (b["V"] > 0)
    row: Row = {"count": int(some.sum()), "signal in both": int(both.sum())}
    row["cosine, same problem"] = with_interval(mean, (a["units"] * b["units"]).sum(1)[both])
    for key in ("alignment", "alignment without itself", "V"):
        row[key] = with_interval(mean, ((a[key] + b[key]) / 2)[both])
    row |= {
        "p": with_interval(mean, (a["p"] + b["p"])[some] / 2),
        "rise": with_interval(mean, rise[some]),
    }
    for share, key in product(SHARES, FACTORS):
        row[f"among {share:.0%}, {key}"] = with_interval(
            partial(among, share=share), a[key], b[key], some
        )
    return row


def transfer(seen: Seen, key: str, some: Any, rise: Floats, kinds: list[Any]) -> Row:
    """Correlate the rise of some problems with a statistic of half A."""
    x, y, p, v = seen[key][some], rise[some], seen["p"][some], seen["V"][some]
    row = {"count": len(x), "predictor": key, "alone": with_interval(spearman, x, y)}
    if not kinds:
        return row
    given = {"given kind": (kinds := [kind[some] for kind in kinds if kind[some].any()])}
    if key not in ("p", "V"):
        given |= {"given p": [p], "given p and V": [p, v], "given kind, p and V": [*kinds, p, v]}
    row |= {which: with_interval(spearman, x, y, *columns) for which, columns in given.items()}
    quarters = np.array_split(np.argsort(x, kind="stable"), 4)
    return row | {"rise by quarter": [with_interval(mean, y[places]) for places in quarters]}


def main() -> None:
    """Sample, compute gradients, train and compare."""
    begin = time.monotonic()
    problems = draw(pool := generated_problems())
    rollouts, rewards = sampled("fresh", problems, FRESH, seed=2)
    others = [json.loads(text) for text in pool["row"].to_pylist()[LOOKED_AT:]]
    others = [row for row in others if row["noise"] == "none"]
    later = np.stack([after(problems, others, seed) for seed in TRAININGS])
    seen = {key: statistics_of(problems, rollouts, *key) for key in product(SIZES, "AB")}
    noise = np.array([json.loads(text)["noise"] for text in problems["row"].to_pylist()])
    rows = noise_rows(seen, noise == "none")
    rows += rise_rows(seen, problems, noise, rewards[:, FRESH // 2 :], later.mean(2))
    publish("repeatability", begin, figures_of(rows), rows)


def noise_rows(seen: dict[Any, Seen], clean: Any) -> list[Row]:
    """Compare halves of all sizes; then combine V and alignment from different sizes."""
    rows: list[Row] = []
    for size in SIZES:
        a, b = seen[size, "A"], seen[size, "B"]
        both = {"all": a["V"] >= 0, "signal in both": a["V"] * b["V"] > 0}
        both |= {f"clean, {name}": clean & some for name, some in both.items()}
        for name, some in both.items():
            rows.append({"table": "halves", "problems": name} | split_halves(a, b, some, size))
    for v, g in product(SIZES, SIZES):
        if v == g or 32 in (v, g):
            mixed, truth = seen[v, "A"]["V"] * seen[g, "A"]["alignment"], seen[32, "B"]["score"]
            row = {"table": "mixed", "V from": v, "alignment from": g}
            rows.append(row | {"spearman": with_interval(spearman, mixed[clean], truth[clean])})
    return rows


def rise_rows(seen: Any, problems: pa.Table, noise: Any, base: Floats, later: Floats) -> list[Row]:
    """Describe kinds and noise, and correlate half A's statistics with the rise over half B."""
    source = np.array(problems["source"].to_pylist())
    clean, rows = noise == "none", []
    kinds = [source == kind for kind in arithmetic.KINDS]
    rise = np.mean(rises := later - base.mean(1), axis=0)
    noisy = {name: noise == name for name in ("mislabelled", "coin")}
    groups = {kind: clean & (source == kind) for kind in arithmetic.KINDS} | {"clean": clean}
    for size, (kind, some) in product((8, 32), (groups | noisy).items()):
        row = {"table": "kinds", "rollouts": size, "kind": kind}
        rows.append(row | of_kind(seen[size, "A"], seen[size, "B"], some, rise))
    for size, key in product((8, 32), PREDICTORS):
        signal = clean & (seen[size, "A"]["V"] > 0)
        cases = [("clean", clean, rise, kinds), ("clean, signal in A", signal, rise, kinds)]
        cases += [(name, some, rise, []) for name, some in noisy.items()]
        cases += [(f"clean, training {n}", clean, rises[n], []) for n in TRAININGS]
        for name, *case in cases:
            row = {"table": "transfer", "rollouts": size, "problems": name}
            rows.append(row | transfer(seen[size, "A"], key, *case))
    described = [row for row in rows if row.get("kind") in arithmetic.KINDS][-len(kinds) :]
    x, y = ([row[key][0] for row in described] for key in ("alignment", "rise"))
    rows.append({"table": "across kinds", "spearman": float(spearman(x, y))})
    # Two rises without common rollouts: an upper bound for any predictor.
    two = [(later[n] - base[:, n::2].mean(1))[clean] for n in TRAININGS]
    return [*rows, {"table": "ceiling", "spearman": with_interval(spearman, *two)}]


def figures_of(rows: list[Row]) -> dict[str, Figure]:
    """Return the main figures; a spread is half an interval."""
    figures = {}
    for row in rows:
        which = row.get("predictor", ""), row.get("rollouts"), row.get("problems")
        for key, found in row.items():
            wanted = row["table"] == "halves" and key.startswith(("spearman,", "cosine,"))
            if wanted or (which[2] == "clean" and key in ("alone", "given kind, p and V")):
                name = (
                    f"{which[1]} rollouts, {which[2]}: {which[0] and which[0] + ' to rise, '}{key}"
                )
                figures[name] = Figure(found[0], "", "higher", (found[2] - found[1]) / 2)
    return figures


if __name__ == "__main__":
    main()
