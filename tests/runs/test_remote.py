"""The run folder in an object store: the same bytes as on a disk, and the same promises."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import learnalign
from helpers.digits import OPTIONS, digits_data, digits_model
from helpers.object_store import BUCKET, Store, object_store
from learnalign.cli.main import cli
from learnalign.cli.options import training_config
from learnalign.config import RolloutConfig
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.order import dependent_stages, stage_options, stages_through
from learnalign.pipeline.run_stages import run_stages
from learnalign.rollouts.imports.reading import read_records
from learnalign.runs import lease
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.storage.folders import remove_tree
from learnalign.storage.paths import as_path
from learnalign.terminal.progress import Progress
from learnalign.workflows.subsets import chosen_ids
from learnalign.workflows.training_problems import training_source

STAGES = ("problems", "rollouts", "verdicts", "gradients")
SELECT = [sys.executable, "-c", "from learnalign.cli.main import main; main()", "select"]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with object_store() as found:
        yield found


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model and its data, at the same paths for every run."""
    here = tmp_path_factory.mktemp("digits")
    return str(digits_model(here / "model")), str(digits_data(here / "sums.jsonl"))


@pytest.fixture(scope="module")
def local(policy: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _select(policy, tmp_path_factory.mktemp("local") / "run").path


@pytest.fixture
def url(store: Store, request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


@pytest.fixture
def there(store: Store, local: Path) -> Iterator[str]:
    """The finished run, copied into the store."""
    where = as_path(f"s3://{BUCKET}/there")
    _copy(local, where)
    yield str(where)
    remove_tree(where)


def _select(policy: tuple[str, str], out: Path | str) -> learnalign.Selection:
    return learnalign.select(*policy, budget=4, out=out, options=OPTIONS, progress="none")


def _copy(source: Any, target: Any) -> None:
    """Copy a run folder as ``aws s3 sync`` does."""
    for path in source.rglob("*"):
        name = str(path).removeprefix(f"{source}/")
        if path.is_file() and name != ".lock":
            if isinstance(target, Path):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(path.read_bytes())


def _bytes(out: Any) -> dict[str, bytes]:
    """Every byte of a run's tables, by file."""
    found = {f"{s}/{p.name}": p.read_bytes() for s in STAGES for p in (out / s).glob("*.parquet")}
    return found | {"scores.parquet": (out / "scores.parquet").read_bytes()}


def _shards(out: Any) -> dict[str, dict[str, Any]]:
    """What the manifest says of the shards, but for the time they took."""
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    return {
        shard["file"]: shard | {"seconds": 0.0}
        for record in stages.values()
        for shard in record["shards"].values()
    }


def _assert_same(out: Any, local: Path) -> None:
    assert len(_bytes(local)) == len(_shards(local)) + 1 == 17
    assert _shards(out) == _shards(local)
    assert _bytes(out) == _bytes(local)


def _partly(policy: tuple[str, str], out: Path | str) -> None:
    """Do a selection's first stages."""
    given = {"model.path": policy[0], "data.paths": policy[1:], "selection.budget": 4}
    config = load_config(overrides=OPTIONS | given | {"run.out": str(out)})
    folder = RunFolder(config.run.out)
    with folder.locked():
        run_stages(folder, config, stages_through("verdicts", config), progress=Progress("none"))


@pytest.mark.slow
def test_killed_in_a_store_and_resumed_equals_a_local_run(
    policy: tuple[str, str], local: Path, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [f"--set={name}={json.dumps(value)}" for name, value in OPTIONS.items()]
    command = [*SELECT, *policy, "--budget", "4", "--out", url, *flags]
    environment = os.environ | {"FSSPEC_S3_ENDPOINT_URL": store.endpoint}
    environment.pop("AWS_ENDPOINT_URL")
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    prefix = url.split("/")[-1]
    while process.poll() is None and not store.keys(f"{prefix}/rollouts/"):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    assert f"{prefix}/scores.parquet" not in store.keys(prefix)
    with pytest.raises(LearnAlignError, match=f"in use by process {process.pid} on"):
        _select(policy, url)
    monkeypatch.setattr(lease, "STALE_S", 0.0)
    done = _select(policy, url)
    assert str(done.path) == url
    _assert_same(done.path, local)
    for name in ("report.html", "config.yaml"):
        assert f"{prefix}/{name}" in store.keys(prefix)
    assert load_config(as_path(url) / "config.yaml").run.out == as_path(url)


@pytest.mark.slow
def test_begun_on_a_disk_and_finished_in_a_store(
    policy: tuple[str, str], local: Path, url: str, tmp_path: Path
) -> None:
    _partly(policy, tmp_path / "run")
    _copy(tmp_path / "run", as_path(url))
    _assert_same(_select(policy, url).path, local)


def test_begun_in_a_store_and_finished_on_a_disk(
    policy: tuple[str, str], local: Path, url: str, tmp_path: Path
) -> None:
    _partly(policy, url)
    _copy(as_path(url), tmp_path / "run")
    _assert_same(_select(policy, tmp_path / "run").path, local)


def _verb(*words: str) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_verb_that_reads_a_run_reads_it_there(
    there: str, local: Path, tmp_path: Path
) -> None:
    shutil.copytree(local, tmp_path / "run")
    here = str(tmp_path / "run")
    for words in (
        ["gradients", "--redo", "gradients"],
        ["score", "--budget", "2", "--json"],
        ["report"],
        ["export", "--as", "jsonl", "--batch-size", "2", "--json"],
        ["export", "--as", "verl"],
        ["compare", "--budget", "3", "--methods", "learnalign,learnability", "--json"],
    ):
        said = [_verb(words[0], run, *words[1:]).replace(run, "RUN") for run in (there, here)]
        assert said[0] == said[1], words
    names = ("compare/learnalign.txt", "export-jsonl/selected.jsonl", "export-jsonl/control.jsonl")
    for name in (*names, "export-verl/selected.parquet", "compare/compare.json"):
        assert (as_path(there) / name).read_bytes() == (as_path(here) / name).read_bytes(), name
    _assert_same(as_path(there), as_path(here))
    known = files.read_table(local / "scores.parquet")["problem_id"][0].as_py()
    assert _verb("inspect", there, known) == _verb("inspect", here, known)
    _verb("export", there, "--as", "ids", "--out", f"s3://{BUCKET}/handed/over")
    assert len((as_path(f"s3://{BUCKET}/handed/over/selected.txt")).read_text().split()) == 2


def test_a_selection_there_is_trained_on(there: str, local: Path, policy: tuple[str, str]) -> None:
    config = training_config(policy[0], (there,), None, (), {})
    assert config.rollouts.num_rollouts == OPTIONS["rollouts.num_rollouts"]
    source = training_source(config)
    assert source is not None
    own = RunFolder(local)
    assert chosen_ids(source, "selected", seed=0) == chosen_ids(own, "selected", seed=0)
    assert source.table("problems") == own.table("problems")


def test_data_there_are_the_same_problems(policy: tuple[str, str], url: str) -> None:
    data = as_path(f"{url}/sums.jsonl")
    data.write_bytes(Path(policy[1]).read_bytes())
    flags = ["--template", "{{ question }}", "--index", "5"]
    for spec in (str(data), url):
        assert _verb("prompt", policy[0], spec, *flags) == _verb("prompt", *policy, *flags)
    contents = [
        stage_options(load_config(overrides={"data.paths": [spec]}), ["problems"])["problems"][
            "data.contents"
        ]
        for spec in (str(data), url, policy[1], str(Path(policy[1]).parent))
    ]
    assert contents[0] == contents[2]
    assert None not in contents


def test_rollouts_there_are_the_same(url: str, tmp_path: Path) -> None:
    """A training's dump, with a copy of a step, a pickle, and the files that repeat others."""
    lines = [json.dumps({"input": "1+1=", "output": f"{k}", "gts": "2", "score": k / 9})
             for k in range(9)]  # fmt: skip
    for name, text in {
        "dump/9.jsonl": "\n".join(lines[:5]),
        "dump/10.jsonl": "\n".join(lines[5:]),
        "dump/again/10.jsonl": "\n".join(lines[5:]),
        "dump/3.pt": "no pickle",
    }.items():
        for root in (tmp_path, as_path(url)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    (here, counts), (elsewhere, remote) = (
        read_records(RolloutConfig(recorded=(f"{root}/dump",)).recorded) for root in (tmp_path, url)
    )
    assert [len(file) for file in here] == [5, 4]
    assert [[record.step for record in file] for file in elsewhere] == [[9] * 5, [10] * 4]
    same = [[(r.completion, r.reward, r.step) for r in file] for file in here]
    assert [[(r.completion, r.reward, r.step) for r in file] for file in elsewhere] == same
    assert remote == counts
    assert counts["repeated_files"] == counts["pickle_files"] == 1
    with pytest.raises(LearnAlignError, match="no file or folder"):
        read_records([as_path(f"{url}/missing.jsonl")])


def test_an_evaluation_there(policy: tuple[str, str], url: str, tmp_path: Path) -> None:
    flags = ["--template", "{{ question }}", "--max-tokens", "1", "--verifier", "number"]
    words = ["evaluate", *policy, *flags, "--set", "verifier.workers=1", "--json", "--out"]
    there, here = _verb(*words, url), _verb(*words, str(tmp_path / "run"))
    assert there.replace(url, "OUT") == here.replace(str(tmp_path / "run"), "OUT")
    compared = json.loads(_verb(*words, str(tmp_path / "run"), "--against", url))
    assert compared["results"][0]["against"]["mean"] == 0.0


def test_what_another_machine_wrote_is_seen(url: str, store: Store) -> None:
    name = url.split("/")[-1]
    path, folder = as_path(f"{url}/a.txt"), as_path(url)
    assert not files.is_file(path)
    assert list(folder.glob("*.txt")) == []
    store.client().put_object(Bucket=BUCKET, Key=f"{name}/a.txt", Body=b"one")
    assert files.size(path) == 3
    assert [p.name for p in folder.glob("*.txt")] == ["a.txt"]
    store.client().put_object(Bucket=BUCKET, Key=f"{name}/a.txt", Body=b"three")
    assert (files.size(path), files.read_text(path)) == (5, "three")
    store.client().delete_object(Bucket=BUCKET, Key=f"{name}/a.txt")
    assert files.size(path) is None
    assert list(folder.glob("*.txt")) == []


def test_redo_deletes_what_was_made(url: str, store: Store) -> None:
    folder, table = RunFolder(url), pa.table({"problem_id": ["a"]})
    with folder.locked():
        for stage in ("problems", "rollouts"):
            folder.begin(stage, {"a": 1})
            folder.write_shard(stage, 0, table, seconds=0.0, excluded=table)
        folder.discard_tables(dependent_stages("rollouts"))
    prefix = url.split("/")[-1]
    kept = ["excluded/problems-00000.parquet", "manifest.json", "problems/part-00000.parquet"]
    assert store.keys(prefix + "/") == [f"{prefix}/{name}" for name in kept]


def test_a_shard_that_somebody_changed(url: str) -> None:
    folder, table = RunFolder(url), pa.table({"problem_id": ["a"]})
    with folder.locked():
        folder.begin("problems", {"a": 1})
        folder.write_shard("problems", 0, table, seconds=0.0)
    assert RunFolder(url).read_shard("problems", 0) == table
    for change in (lambda path: path.write_bytes(b"short"), lambda path: path.unlink()):
        change(as_path(f"{url}/problems/part-00000.parquet"))
        with pytest.raises(LearnAlignError, match="not the file that was written"):
            RunFolder(url).read_shard("problems", 0)


def test_the_manifest_rests_and_is_whole_at_the_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learnalign.runs import folder as module

    folder, writes = RunFolder(url), []
    write = module.write_manifest
    monkeypatch.setattr(module, "write_manifest", lambda *a: (writes.append(1), write(*a)))

    def add(count: int) -> None:
        with folder.locked():
            folder.begin("problems", {"a": 1})
            table = pa.table({"problem_id": ["a"]})
            shard = folder.put_shard("problems", 0, table, seconds=0.0)
            for index in range(count):
                folder.add_shard("problems", index, shard)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add(200)
    assert len(writes) < 10
    assert RunFolder(url).num_shards("problems") == 200
