"""How well sketches preserve the ranking: exact full gradients against several kinds of sketch.

Two passes over the problems with signal: the first computes each exact gradient (float32, all
linear weights), all its sketches, and the exact mean; the second computes each gradient again and
its exact alignment with the mean. Then the engine's own rows are compared with these. It can resume
after each block of problems; its state is in runs/bench-fidelity.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from harness import ROOT, Figure, publish
from learnalign.config import GradientConfig, ModelConfig
from learnalign.gradients.engine import GradientEngine, Group
from learnalign.gradients.sketch import Sketch
from learnalign.models.loading import load_model
from learnalign.scoring.scores import unit_rows
from pool import MODEL, Problem, large_pool

STATE = ROOT / "runs" / "bench-fidelity"
BLOCK, SIZE, DEPTH, PAIRS = 16, 8192, 30, 24
MAX_PROBLEMS = 288
SEEDS = (0, 1, 2)
Tensors = dict[str, torch.Tensor]
Kind = Callable[[Tensors], torch.Tensor]


def depth_of(name: str) -> int:
    """Return the layer number in a weight's name."""
    return int(name.split(".layers.")[1].split(".")[0])


class Sided:
    """Projects a layer's inputs, outputs or both with random signs, then optionally sketches."""

    def __init__(
        self,
        like: Tensors,
        *,
        inputs: int = 0,
        outputs: int = 0,
        size: int = SIZE,
        seed: int = 0,
        layers: Callable[[int], bool] = lambda depth: True,
        sketched: bool = True,
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.names = [name for name in like if layers(depth_of(name))]
        self.left, self.right = {}, {}
        for name in self.names:
            rows, columns = like[name].shape
            if outputs:
                self.left[name] = _signs(rows, outputs, draw)
            if 0 < inputs < columns:
                self.right[name] = _signs(columns, inputs, draw)
        total = sum(self.side(like[name], name).numel() for name in self.names)
        self.sketch = Sketch(total, size, seed=seed) if sketched else None

    def side(self, gradient: torch.Tensor, name: str) -> torch.Tensor:
        """Project one weight's gradient."""
        if name in self.left:
            gradient = self.left[name].T @ gradient
        return gradient @ self.right[name] if name in self.right else gradient

    def __call__(self, gradients: Tensors) -> torch.Tensor:
        """Return one problem's row."""
        pieces = [self.side(gradients[name], name) for name in self.names]
        if self.sketch is None:
            return torch.cat([piece.reshape(-1) for piece in pieces])
        return self.sketch(pieces)


def kinds(like: Tensors) -> dict[str, Kind]:
    """Return all kinds of rows to compare, by name."""
    kinds_by_name: dict[str, Kind] = {}
    for size in (2048, SIZE):
        kinds_by_name[f"whole gradient, {size}"] = Sided(like, size=size)
    for width in (4, 8, 16, 32, 64):
        kinds_by_name[f"{width} inputs, {SIZE}"] = Sided(like, inputs=width)
    for size in (2048, 4096):
        kinds_by_name[f"32 inputs, {size}"] = Sided(like, inputs=32, size=size)
    for seed in (1, 2):
        kinds_by_name[f"32 inputs, {SIZE}, seed {seed}"] = Sided(like, inputs=32, seed=seed)
    kinds_by_name[f"32 outputs, {SIZE}"] = Sided(like, outputs=32)
    kinds_by_name["two-sided 16 x 16, unsketched"] = Sided(
        like, inputs=16, outputs=16, sketched=False
    )
    kinds_by_name[f"two-sided 16 x 16, {SIZE}"] = Sided(like, inputs=16, outputs=16)
    kinds_by_name["every second layer, 32 inputs"] = Sided(
        like, inputs=32, layers=lambda d: d % 2 == 0
    )
    kinds_by_name["last half of the layers, 32 inputs"] = Sided(
        like, inputs=32, layers=lambda d: d >= DEPTH // 2
    )
    return kinds_by_name


def exact_passes(problems: list[Problem]) -> dict[str, np.ndarray]:
    """Return norms, exact alignments, exact cosines of some pairs, and the rows of each kind."""
    STATE.mkdir(parents=True, exist_ok=True)
    engine = make_engine("float32", input_width=0)
    like = {w.name: torch.empty(w.parameter.shape) for w in engine.gradients.collector.weights}
    every = kinds(like)
    blocks = [problems[i : i + BLOCK] for i in range(0, len(problems), BLOCK)]
    for number, block in enumerate(blocks):
        path = STATE / f"rows-{number:03d}.npz"
        if path.exists():
            continue
        mean_path = STATE / f"mean-{number:03d}.pt"
        before = STATE / f"mean-{number - 1:03d}.pt"
        mean = (
            torch.load(before)
            if number
            else {name: torch.zeros_like(tensor) for name, tensor in like.items()}
        )
        rows: dict[str, list[np.ndarray]] = {name: [] for name in (*every, "norm")}
        for problem in block:
            gradient = engine.gradient(problem.prompt, problem.group)
            norm = float(sum(g.double().square().sum() for g in gradient.values())) ** 0.5
            rows["norm"].append(np.array(norm))
            for name, tensor in gradient.items():
                mean[name].add_(tensor, alpha=problem.learnability / norm / len(problems))
            for name, kind in every.items():
                rows[name].append(kind(gradient).numpy())
        torch.save(mean, mean_path)
        np.savez(path.with_suffix(".tmp.npz"), **{n: np.stack(r) for n, r in rows.items()})
        path.with_suffix(".tmp.npz").rename(path)
        before.unlink(missing_ok=True)
        print(f"exact gradients: {number + 1} of {len(blocks)} blocks", flush=True)
    mean = torch.load(STATE / f"mean-{len(blocks) - 1:03d}.pt")
    held: list[Tensors] = []
    for number, block in enumerate(blocks):
        path = STATE / f"aligned-{number:03d}.npz"
        if path.exists() and len(held) >= PAIRS:
            continue
        if path.exists() and number * BLOCK >= PAIRS:
            continue
        dots = []
        for problem in block:
            gradient = engine.gradient(problem.prompt, problem.group)
            dots.append(sum(float((gradient[n] * mean[n]).sum()) for n in mean))
            if len(held) < PAIRS:
                held.append({name: tensor.half() for name, tensor in scaled(gradient).items()})
        np.savez(path.with_suffix(".tmp.npz"), dot=np.array(dots))
        path.with_suffix(".tmp.npz").rename(path)
        print(f"exact alignments: {number + 1} of {len(blocks)} blocks", flush=True)
    loaded = [dict(np.load(STATE / f"rows-{n:03d}.npz")) for n in range(len(blocks))]
    result = {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0]}
    dots = [np.load(STATE / f"aligned-{n:03d}.npz")["dot"] for n in range(len(blocks))]
    result["alignment"] = np.concatenate(dots) / result["norm"]
    if not (STATE / "cosines.npy").exists():
        np.save(STATE / "cosines.npy", cosines(held))
    result["cosines"] = np.load(STATE / "cosines.npy")
    return result


def scaled(gradient: Tensors) -> Tensors:
    """Scale a gradient to a norm that half precision represents well."""
    norm = float(sum(g.double().square().sum() for g in gradient.values())) ** 0.5
    return {name: tensor * (4096.0 / norm) for name, tensor in gradient.items()}


def cosines(held: list[Tensors]) -> np.ndarray:
    """Return the exact (m, m) cosines of whole gradients."""
    total = np.zeros((len(held), len(held)))
    for name in held[0]:
        rows = torch.stack([g[name].reshape(-1).float() for g in held])
        total += (rows @ rows.T).double().numpy()
    size = np.sqrt(np.diag(total))
    return total / size[:, None] / size


def make_engine(dtype: str, *, seed: int = 0, **options: Any) -> GradientEngine:
    """Build LearnAlign's own engine."""
    model = load_model(ModelConfig(path=str(MODEL), device="cpu"), dtype=getattr(torch, dtype))
    config = GradientConfig(**options)
    return GradientEngine(model, config, temperature=1.0, seed=seed, max_tokens=8)


def engine_rows(
    problems: list[Problem], dtype: str, *, first: int, seed: int, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return LearnAlign's own rows (float16) for the first rollouts of each group."""
    engine = make_engine(dtype, seed=seed, **options)
    jobs = []
    for problem in problems:
        group = Group(problem.group.responses[:first], problem.group.rewards[:first])
        weights = engine._weights(group, None)
        jobs.append((problem.prompt, group.responses, weights.tolist()))
    found = engine.gradients(jobs)
    return np.stack([row.sketch for row in found]), np.array([row.norm for row in found])


def judge(
    rows: np.ndarray, truth: dict[str, np.ndarray], learnability: np.ndarray
) -> dict[str, float]:
    """Compare rows of one kind with the exact values."""
    score = learnability * truth["alignment"]
    units = np.nan_to_num(unit_rows(rows))
    ours = learnability * (units @ (units * learnability[:, None]).mean(0))
    count = round(len(score) / 10)
    top, same = (set(np.argsort(-values)[:count].tolist()) for values in (score, ours))
    pairs = np.triu_indices(len(truth["cosines"]), 1)
    error = (units[:PAIRS] @ units[:PAIRS].T)[pairs] - truth["cosines"][pairs]
    return {
        "spearman": float(spearmanr(ours, score).statistic),
        "overlap": len(top & same) / count,
        "cosine_error": float(np.sqrt((error**2).mean())),
    }


def spread(values: Iterable[float]) -> float:
    """Return half the range of repeated measurements."""
    measured = list(values)
    return (max(measured) - min(measured)) / 2


def main() -> None:
    """Run or resume the benchmark."""
    begin = time.monotonic()
    problems = [problem for problem in large_pool() if problem.learnability > 0][:MAX_PROBLEMS]
    learnability = np.array([problem.learnability for problem in problems])
    truth = exact_passes(problems)
    rows = []
    for name, values in truth.items():
        if name in ("norm", "alignment", "cosines"):
            continue
        rows.append({"kind": name, "values": values.shape[1]} | judge(values, truth, learnability))
    own: dict[str, tuple[str, int, int, dict[str, Any]]] = {
        f"engine, {dtype}, seed {seed}": (dtype, 8, seed, {})
        for dtype in ("float32", "bfloat16")
        for seed in SEEDS
    }
    own["engine, bfloat16, whole gradient"] = ("bfloat16", 8, 0, {"input_width": 0})
    own["engine, bfloat16, 4 of 8 rollouts"] = ("bfloat16", 4, 0, {})
    for name, (dtype, first, seed, options) in own.items():
        path = STATE / f"{name.replace(' ', '-').replace(',', '')}.npz"
        if not path.exists():
            sketches, norms = engine_rows(problems, dtype, first=first, seed=seed, **options)
            np.savez(path, sketches=sketches, norms=norms)
            print(name, flush=True)
        found = np.load(path)
        row = {"kind": name, "values": found["sketches"].shape[1]}
        row |= judge(found["sketches"], truth, learnability)
        if first == 8:
            row["norm_error"] = float((found["norms"] / truth["norm"]).std())
        rows.append(row)
    for row in rows:
        print(" ".join(f"{v:.4f}" if isinstance(v, float) else f"{v!s:40}" for v in row.values()))
    by_kind = {row["kind"]: row for row in rows}
    figures = {
        "problems with signal": Figure(len(problems), "problems", "higher", goal=256),
        "bytes a problem": Figure(2 * SIZE, "bytes", "lower", goal=16384),
    }
    for dtype in ("bfloat16", "float32"):
        found_rows = [by_kind[f"engine, {dtype}, seed {seed}"] for seed in SEEDS]
        for name, unit, better, goal in (
            ("spearman", "", "higher", 0.99),
            ("overlap", "of the top 10 %", "higher", 0.95),
            ("cosine_error", "", "lower", None),
            ("norm_error", "relative", "lower", None),
        ):
            values = [row[name] for row in found_rows]
            figures[f"{dtype}: {name.replace('_', ' ')}"] = Figure(
                float(np.mean(values)), unit, better, spread(values), goal
            )
    publish("fidelity", begin, figures, rows)


def _signs(rows: int, columns: int, draw: torch.Generator) -> torch.Tensor:
    signs = torch.randint(0, 2, (rows, columns), generator=draw) * 2 - 1
    return signs.float() / columns**0.5


if __name__ == "__main__":
    main()
