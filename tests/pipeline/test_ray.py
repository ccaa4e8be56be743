"""Shards made on a real Ray cluster of two nodes: equal tables, whatever is killed meanwhile."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from helpers.digits import OPTIONS, digits_data, digits_model
from helpers.object_store import BUCKET, Store, object_store
from learnalign.config.load import load_config, write_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.executor import open_cluster
from learnalign.pipeline.order import dependent_stages
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import Selection, run

pytest.importorskip("ray", reason="the package ray is not installed")
PROGRAM = [sys.executable, "-c", "from learnalign.cli.main import main; main()"]
TABLES = ("problems", "rollouts", "verdicts", "gradients")
CLIENT_PORT = 25_001


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with object_store() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(store: Store) -> Iterator[Any]:
    """Two nodes of one processor each, and a server for clients; they know where the store is."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # A worker takes its threads from its processors; a run on this machine must, too.
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": CLIENT_PORT}
        found = Cluster(initialize_head=True, head_node_args=head)
        found.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("model") / "digits")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_data(tmp_path_factory.mktemp("data") / "sums.jsonl", 40)


def _config(model: Path, data: Path, out: Path | str, **more: Any) -> Any:
    options = OPTIONS | {
        "model.path": str(model),
        "data.paths": (str(data),),
        "selection.budget": 8,
        "run.shard_size": 2,
        "run.out": str(out),
    }
    return load_config(overrides=options | {k.replace("__", "."): v for k, v in more.items()})


@pytest.fixture(scope="module")
def here(cluster: Any, model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run on this machine alone, in a process with a worker's number of threads."""
    out = tmp_path_factory.mktemp("ray") / "here"
    file = out.with_suffix(".yaml")
    write_config(file, _config(model, data, out))
    done = subprocess.run([*PROGRAM, "select", "--config", str(file)], timeout=250)
    assert done.returncode == 0
    return out


def _same(one: Path, other: Path) -> bool:
    for table in TABLES:
        names = sorted(path.name for path in (one / table).glob("*.parquet"))
        assert names == sorted(path.name for path in (other / table).glob("*.parquet"))
        for name in names:
            if (one / table / name).read_bytes() != (other / table / name).read_bytes():
                return False
    return pq.read_table(one / "scores.parquet") == pq.read_table(other / "scores.parquet")


def _on_ray(config: Any) -> Selection:
    return run(config, progress=Progress("none"))


def _workers() -> list[psutil.Process]:
    """The processes of actors that make shards."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "_Actor" in " ".join(process.info["cmdline"] or ())
    ]


def _when(out: Path, pattern: str, act: Callable[[], None]) -> threading.Thread:
    """Do something once files of that pattern are there."""

    def watch() -> None:
        for _ in range(6000):
            if list(out.glob(pattern)):
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.slow
def test_an_actor_killed_in_mid_run(model: Path, data: Path, here: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        for process in _workers()[:1]:
            process.kill()
            killed.append(process.pid)

    out = tmp_path / "run"
    watching = _when(out, "rollouts/*.parquet", kill)
    _on_ray(_config(model, data, out, cluster__on="ray"))
    watching.join()
    assert killed
    assert _same(out, here)


@pytest.mark.slow
def test_begun_on_a_cluster_driver_killed_finished_here(
    model: Path, data: Path, here: Path, tmp_path: Path
) -> None:
    out, file = tmp_path / "run", tmp_path / "run.yaml"
    write_config(file, _config(model, data, out))
    command = [*PROGRAM, "select", "--config", str(file)]
    process = subprocess.Popen([*command, "--on", "ray"], stderr=subprocess.DEVNULL)
    _when(out, "rollouts/*.parquet", lambda: process.send_signal(signal.SIGKILL)).join()
    assert process.wait(60) == -signal.SIGKILL
    for _ in range(500):  # the actors of a dead driver go by themselves
        if not _workers():
            break
        time.sleep(0.1)
    assert not RunFolder(out).manifest.stages["rollouts"].complete
    assert subprocess.run(command, timeout=250).returncode == 0
    assert _same(out, here)


@pytest.mark.slow
def test_a_node_lost_in_mid_run(
    cluster: Any, model: Path, data: Path, here: Path, tmp_path: Path
) -> None:
    """Its actor is made again on the node that is left, once that has room."""
    nodes = [node for node in cluster.list_all_nodes() if node is not cluster.head_node]
    out = tmp_path / "run"
    watching = _when(
        out, "rollouts/*.parquet", lambda: cluster.remove_node(nodes[0], allow_graceful=False)
    )
    try:
        _on_ray(_config(model, data, out, cluster__on="ray", selection__method="learnability"))
    finally:
        watching.join()
        cluster.add_node(num_cpus=1)
    for table in ("rollouts", "verdicts"):
        assert RunFolder(out).table(table) == RunFolder(here).table(table)


@pytest.mark.slow
def test_begun_here_finished_by_a_client_in_an_object_store(
    cluster: Any, model: Path, data: Path, here: Path, tmp_path: Path
) -> None:
    """The folder is copied to a store with half its rollouts; the cluster goes on from there."""
    import s3fs

    part = tmp_path / "part"
    shutil.copytree(here, part)
    (part / "scores.parquet").unlink()
    folder = RunFolder(part)
    with folder.locked():
        folder.discard_tables(dependent_stages("verdicts"))
        record = folder.manifest.stages["rollouts"]
        record.complete = False
        for index in list(record.shards)[2:]:
            (part / record.shards.pop(index).file).unlink()
        folder.set_summary({})
    url, file = f"s3://{BUCKET}/run", tmp_path / "run.yaml"
    s3fs.S3FileSystem().put(f"{part}/", url, recursive=True)
    write_config(file, _config(model, data, tmp_path, run__out=url))
    command = [*PROGRAM, "select", "--config", str(file)]
    done = subprocess.run([*command, "--on", f"ray://127.0.0.1:{CLIENT_PORT}"], timeout=250)
    assert done.returncode == 0
    s3fs.S3FileSystem().get(f"{url}/", str(tmp_path / "done"), recursive=True)
    assert _same(tmp_path / "done", here)


@pytest.mark.slow
def test_what_an_actor_raises_reaches_the_user(
    cluster: Any, model: Path, data: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(LearnAlignError, match="cannot load the model"):
        _on_ray(_config(broken, data, tmp_path / "run", cluster__on="ray"))


def test_a_cluster_without_room(cluster: Any, model: Path, data: Path, tmp_path: Path) -> None:
    config = _config(model, data, tmp_path / "run", cluster__on="ray", cluster__gpus_per_worker=1)
    with pytest.raises(LearnAlignError, match="1 processors and 1 GPUs; the cluster has 2 and 0"):
        _on_ray(config)


@pytest.mark.slow
def test_no_cluster_at_the_address(model: Path, data: Path, tmp_path: Path) -> None:
    config = _config(model, data, tmp_path / "run", cluster__on="ray://127.0.0.1:1")
    with pytest.raises(LearnAlignError, match=r"no Ray cluster answers at ray://127\.0\.0\.1:1"):
        _on_ray(config)
    with pytest.raises(LearnAlignError, match=r"got --on slurm\n.*here, ray or ray://"):
        open_cluster(_config(model, data, tmp_path / "run", cluster__on="slurm"))


def test_a_node_that_does_not_see_the_folder(model: Path, data: Path, tmp_path: Path) -> None:
    from learnalign.pipeline.ray import _Actor

    config = _config(model, data, tmp_path / "elsewhere").model_dump(mode="json")
    actor = _Actor(config, version("learnalign"))
    assert actor.ready() == ("", "")
    _, refusal = actor.compute("rollouts", "a fingerprint", None, 0)
    assert json.loads(refusal)["expected"] == "a run folder that every node sees"
    _, refusal = _Actor(config, "0.0.1").ready()
    assert json.loads(refusal)["expected"] == "0.0.1, as where the run was started"
