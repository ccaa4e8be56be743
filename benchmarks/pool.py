"""The real pool shared by benchmarks: generated problems with SmolLM2's rollouts and verdicts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from harness import ROOT
from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.gradients.engine import Group, group_rollouts
from learnalign.pipeline.order import stages_through
from learnalign.pipeline.run_stages import run_stages
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"
#: Generator, source, difficulty, size, seed, options: the demo's kinds with more problems of each.
_POOL = """
- [chain_sum, sums, 1 digit, 60, 11, {min_terms: 2, max_terms: 2, min_digits: 1, max_digits: 1}]
- [chain_sum, sums, 2 digits, 260, 12, {min_terms: 2, max_terms: 2, min_digits: 2, max_digits: 2}]
- [chain_sum, sums, 3 terms, 260, 13, {min_terms: 3, max_terms: 3, min_digits: 1, max_digits: 1}]
- [products, products, 1 digit, 60, 14, {min_digits: 1, max_digits: 1}]
- [gcd, gcd, below 30, 260, 15, {min_value: 2, max_value: 30}]
"""
_FIELDS = ("dataset", "source", "difficulty", "size", "seed", "params")


@dataclass(frozen=True)
class Problem:
    """One problem with its verified rollouts."""

    problem_id: str
    prompt: list[int]
    group: Group

    @property
    def learnability(self) -> float:
        """p(1-p)."""
        return float(np.var(self.group.rewards))


def verified_run(folder: Path, config: Config) -> RunFolder:
    """Sample and verify in a run folder, unless it is already complete."""
    run = RunFolder(folder)
    record = run.manifest.stages.get("verdicts")
    if record is None or not record.complete:
        with run.locked():
            run_stages(run, config, stages_through("verdicts", config), progress=Progress())
    return run


def problems_of(run: RunFolder) -> list[Problem]:
    """Read a run's problems and groups, including those without signal."""
    groups = group_rollouts(run.table("rollouts"), run.table("verdicts"))
    table = run.table("problems")
    return [
        Problem(name, prompt, groups[name])
        for name, prompt in zip(
            table["problem_id"].to_pylist(), table["prompt_ids"].to_pylist(), strict=True
        )
    ]


def large_pool() -> list[Problem]:
    """Return about 850 problems, about 300 with signal; sampled once and cached in ``runs/``."""
    folder = ROOT / "runs" / "bench-pool"
    folder.mkdir(parents=True, exist_ok=True)
    entries = [dict(zip(_FIELDS, row, strict=True)) for row in yaml.safe_load(_POOL)]
    (folder / "pool.yaml").write_text(yaml.safe_dump(entries))
    overrides = {"model.path": str(MODEL), "data.paths": [str(folder / "pool.yaml")]}
    config = load_config(
        ROOT / "examples" / "demo.yaml", overrides=overrides | {"run.out": str(folder)}
    )
    return problems_of(verified_run(folder, config))


def demo_pool() -> list[Problem]:
    """Return the demo's pool, sampled as in `make demo`."""
    overrides = {"model.path": str(MODEL), "data.paths": [str(ROOT / "examples" / "pool.yaml")]}
    folder = ROOT / "runs" / "bench-demo"
    config = load_config(
        ROOT / "examples" / "demo.yaml", overrides=overrides | {"run.out": str(folder)}
    )
    return problems_of(verified_run(folder, config))
