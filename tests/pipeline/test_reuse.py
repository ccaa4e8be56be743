"""Rollouts of an earlier run: they replace new ones, change nothing else, are the policy's."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.command_line import call
from helpers.sums_run import QUIET, configure, select
from learnalign.errors import LearnAlignError
from learnalign.pipeline.order import stages_through
from learnalign.pipeline.reuse import reusable_folder
from learnalign.pipeline.run_stages import run_stages
from learnalign.runs.folder import RunFolder
from learnalign.workflows.estimate import dry_run

#: A run of some of the problems, with another seed and more rollouts than are wanted.
EARLIER: dict[str, Any] = {
    "data__sample": 6,
    "run__seed": 7,
    "rollouts__num_rollouts": 5,
    "selection__budget": None,
}
OTHERS = "reasoning-gym:chain_sum?size=3&seed=1&max_terms=3&min_terms=3"


def _sample(model: Path, out: Path, **more: Any) -> Path:
    config = configure(model, out, **(EARLIER | more))
    folder = RunFolder(out)
    with folder.locked():
        run_stages(folder, config, stages_through("rollouts", config), progress=QUIET)
    return out


@pytest.fixture(scope="module")
def earlier(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _sample(sums, tmp_path_factory.mktemp("earlier") / "run")


def _rows(folder: RunFolder, table: str) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["problem_id"], row["sample"]): row for row in folder.table(table).to_pylist()}


@pytest.mark.parametrize("spend", ["full", "auto"])
def test_only_the_reused_groups_differ(
    spend: str, earlier: Path, sums: Path, finished: Path, tmp_path: Path
) -> None:
    more = {"rollouts__spend": spend, "rollouts__error": 0.01}
    work = json.loads(
        dry_run(
            configure(sums, tmp_path / "new", rollouts__reuse=str(earlier), **more), as_json=True
        )
    )["work"]
    done = select(sums, tmp_path / "new", rollouts__reuse=str(earlier), **more)
    ours, theirs = _rows(RunFolder(done.path), "rollouts"), _rows(RunFolder(finished), "rollouts")
    old = _rows(RunFolder(earlier), "rollouts")
    known = {name for name, _ in old}
    assert len(known) == 6
    assert any(
        old[key]["token_ids"] != row["token_ids"] for key, row in theirs.items() if key in old
    )
    for key, row in ours.items():
        assert row == (old[key] if key[0] in known else theirs[key])
    if spend == "full":
        assert ours.keys() == theirs.keys()
        assert done.summary["reused"] == work["reused_rollouts"] == 6 * 4
        assert work["rollouts"] == len(theirs) - 6 * 4
    else:  # which of the others get all their rollouts depends on all verdicts
        assert {(name, 0) for name, _ in theirs} <= ours.keys() <= theirs.keys()
    # The earlier run has no verdicts: they are made here, and equal those of equal rollouts.
    assert RunFolder(earlier).num_shards("verdicts") == 0
    verdicts, plain = (
        _rows(folder, "verdicts") for folder in map(RunFolder, (done.path, finished))
    )
    assert verdicts.keys() == ours.keys()
    assert all(verdicts[key] == plain[key] for key in ours if ours[key] == theirs[key])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rollouts__temperature": 0.5}, r"other options: rollouts\.temperature was 1\.0, is now"),
        ({"rollouts__stop": ("=",)}, r"rollouts\.stop was"),
        ({"rollouts__num_rollouts": 6}, "has 5 rollouts per problem, of 6 that are wanted"),
        ({"prompt__system": "Add."}, "has another prompt"),
        ({"data__paths": (OTHERS,)}, "none of the pool's 3 problems is in"),
        ({"rollouts__reuse": "nowhere"}, "nowhere has no rollouts to reuse"),
    ],
)
def test_rollouts_that_are_not_this_runs(
    more: dict[str, Any], message: str, earlier: Path, sums: Path, tmp_path: Path
) -> None:
    options = {"rollouts__reuse": str(earlier), "selection__budget": 1, **more}
    config = configure(sums, tmp_path / "new", **options)
    for attempt in (lambda: dry_run(config), lambda: select(sums, tmp_path / "new", **options)):
        with pytest.raises(LearnAlignError, match=message):
            attempt()
    assert RunFolder(tmp_path / "new").num_shards("rollouts") == 0


def test_another_policy(earlier: Path, sums: Path, tmp_path: Path) -> None:
    same = Path(shutil.copytree(sums, tmp_path / "same"))
    config = configure(same, tmp_path / "new", rollouts__reuse=str(earlier))
    assert reusable_folder(config).path == earlier  # the weights count, not where they are
    weights = same / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(LearnAlignError, match=r"model\.weights was"):
        reusable_folder(config)


def test_an_unfinished_table_is_refused_before_any_work(
    earlier: Path, sums: Path, tmp_path: Path
) -> None:
    part = RunFolder(Path(shutil.copytree(earlier, tmp_path / "part")))
    with part.locked():
        record = part.manifest.stages["rollouts"]
        record.complete = False
        record.shards.popitem()
        part.save()
    with pytest.raises(LearnAlignError, match="part has no finished rollouts"):
        select(sums, tmp_path / "new", rollouts__reuse=str(part.path))
    assert not RunFolder(tmp_path / "new").manifest.stages
    # Finished, it is as good as any: the failed attempt has left nothing behind that refuses it.
    _sample(sums, part.path)
    done = select(sums, tmp_path / "new", rollouts__reuse=str(part.path))
    assert done.summary["reused"] == 24


def test_changed_rollouts_change_the_fingerprint(earlier: Path, sums: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(earlier, tmp_path / "other"))
    select(sums, tmp_path / "new", rollouts__reuse=str(other))
    shutil.rmtree(other)
    _sample(sums, other, run__seed=8)
    with pytest.raises(LearnAlignError, match=r"rollouts\.reuse\.contents was"):
        select(sums, tmp_path / "new", rollouts__reuse=str(other))


def test_flags(earlier: Path, sums: Path, tmp_path: Path) -> None:
    common = ("--config", earlier / "config.yaml", "--set", "data.sample=null", "--num-rollouts", 4)
    command = ("select", *common, "--reuse", earlier, "--budget", 3, "--out", tmp_path / "new")
    done = call(*map(str, command))
    assert done.returncode == 0, done.stderr
    assert "24 rollouts were reused from an earlier run." in done.stdout
    table = RunFolder(tmp_path / "new").table("rollouts")
    assert pa.compute.count_distinct(table["problem_id"]).as_py() == 14
    for extra, message in (
        (("--recorded", "dump.jsonl"), "with recorded"),
        (("--warmup", "2"), "--warmup"),
    ):
        failed = call(*map(str, (*command, *extra)))
        assert failed.returncode == 2
        assert message in failed.stderr
