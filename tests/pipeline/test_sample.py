"""A sample of the pool: who is in it, what the folder says of the others, what depends on it."""

import hashlib
import json
from pathlib import Path

import pytest

from helpers.sums_run import QUIET, configure
from learnalign.config import Config
from learnalign.pipeline.order import stage_options
from learnalign.pipeline.problems import sampled_problems
from learnalign.pipeline.run_stages import run_stages
from learnalign.runs.fingerprints import fingerprint
from learnalign.runs.folder import RunFolder
from learnalign.workflows.estimate import dry_run, estimate_training


def problems_of(config: Config) -> RunFolder:
    folder = RunFolder(config.run.out)
    with folder.locked():
        run_stages(folder, config, ["problems"], progress=QUIET)
    return folder


def test_the_smallest_hashes_are_the_sample_in_the_pools_order(sums: Path, tmp_path: Path) -> None:
    ids = problems_of(configure(sums, tmp_path / "all")).table("problems")["problem_id"].to_pylist()
    config = configure(sums, tmp_path / "some", data__sample=5, run__seed=3, selection__budget=None)
    folder = problems_of(config)
    by_hash = sorted(ids, key=lambda name: hashlib.sha256(f"3:{name}".encode()).digest()[:8])
    sample = folder.table("problems")["problem_id"].to_pylist()
    assert sample == [name for name in ids if name in by_hash[:5]]
    assert sample != ids[:5]
    # The folder knows the pool, and calls nobody excluded who was only not sampled.
    assert folder.manifest.stages["problems"].facts["pool"] == len(ids)
    assert not set(folder.excluded()["problem_id"].to_pylist()) & set(ids)
    work = json.loads(dry_run(config, as_json=True))["work"]
    assert (work["problems"], work["problems_in_the_pool"], work["rollouts"]) == (5, len(ids), 20)
    assert estimate_training(config)["problems"] == 5


@pytest.mark.parametrize("size", [14, 15, None])
def test_a_sample_as_large_as_the_pool_is_the_pool(size: int | None) -> None:
    pool = [{"problem_id": str(i)} for i in range(14)]
    config = Config.model_validate({"data": {"sample": size}})
    assert sampled_problems(pool, config) == pool


def test_every_problem_is_sampled_about_as_often() -> None:
    pool = [{"problem_id": str(i)} for i in range(10)]
    counts = dict.fromkeys(map(str, range(10)), 0)
    for seed in range(400):
        config = Config.model_validate({"data": {"sample": 3}, "run": {"seed": seed}})
        for problem in sampled_problems(pool, config):
            counts[problem["problem_id"]] += 1
    # Binomial(400, 0.3): 120 expected, standard deviation 9.2; five of them are never reached.
    assert all(74 <= count <= 166 for count in counts.values())


def test_the_seed_counts_for_a_sample_alone() -> None:
    def options(sample: int | None, seed: int) -> dict[str, object]:
        tree = {"data": {"sample": sample}, "run": {"seed": seed}}
        return stage_options(Config.model_validate(tree), ["problems"])["problems"]

    assert "data.sample" not in options(None, 0)  # or every earlier run folder would be refused
    assert options(None, 0) == options(None, 1)
    prints = {fingerprint(options(n, s)) for n, s in [(None, 0), (5, 0), (5, 1), (6, 0)]}
    assert len(prints) == 4
