"""An object store that refuses, goes away or breaks off: said plainly, and nothing is lost."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import requests
import s3fs

from helpers.object_store import BUCKET, Store, object_store
from learnalign.config.load import load_config, write_config
from learnalign.errors import LearnAlignError
from learnalign.runs import lease
from learnalign.runs.folder import RunFolder
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.terminal.progress import Progress
from learnalign.workflows.train import train

TABLE = pa.table({"problem_id": ["a", "b"]})


@pytest.fixture
def store() -> Iterator[Store]:
    with object_store() as found:
        yield found


@pytest.fixture
def url(store: Store, request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


def _write(folder: RunFolder, *indices: int) -> None:
    for index in indices:
        folder.write_shard("problems", index, TABLE, seconds=0.0)


def _until_it_goes_away(folder: RunFolder, store: Store) -> None:
    with folder.locked():
        folder.begin("problems", {"a": 1})
        _write(folder, 0, 1)
        store.stop()
        _write(folder, 2)


def test_a_store_that_goes_away_loses_nothing(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LearnAlignError, match="cannot reach s3://") as caught:
        _until_it_goes_away(RunFolder(url), store)
    assert "check the network and the endpoint" in str(caught.value)
    assert "run the same command" in str(caught.value)
    with pytest.raises(LearnAlignError, match="cannot reach"):
        RunFolder(url)
    store.start()
    prefix = f"{url.split('/')[-1]}/problems/"
    assert store.keys(prefix) == [f"{prefix}part-0000{index}.parquet" for index in (0, 1)]
    monkeypatch.setattr(lease, "STALE_S", 0.0)
    folder = RunFolder(url)
    with folder.locked():
        # What the manifest does not name is as if never begun.
        _write(folder, *range(folder.num_shards("problems"), 3))
    assert RunFolder(url).table("problems").num_rows == 6


@pytest.mark.parametrize("broken", ["upload_part", "complete_multipart_upload"])
def test_a_large_file_that_breaks_off_leaves_the_old_one(
    broken: str, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, called = as_path(f"{url}/large.bin"), []
    path.write_bytes(b"old")
    plain = s3fs.S3FileSystem._call_s3

    async def breaking(self, name, *args, **kwargs):
        called.append(name)
        if name == broken and called.count("upload_part") > 1:
            raise OSError("connection reset")
        return await plain(self, name, *args, **kwargs)

    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, chunksize: 5 * 2**20)
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", breaking)
    with (
        pytest.raises(LearnAlignError, match=r"cannot reach .*connection reset"),
        files.atomic(path) as temporary,
    ):
        temporary.write_bytes(bytes(12 * 2**20))
    assert called.count("upload_part") > 1
    monkeypatch.undo()
    assert files.read_bytes(path) == b"old"
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=BUCKET)


def test_a_writer_that_fails_puts_nothing(url: str) -> None:
    path = as_path(f"{url}/note.txt")

    def write() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert files.size(path) is None


def test_no_such_bucket(store: Store) -> None:
    with (
        pytest.raises(LearnAlignError, match=r"(?s)cannot reach s3://absent-bucket/run.*create"),
        RunFolder("s3://absent-bucket/run").locked(),
    ):
        pass
    assert [b["Name"] for b in store.client().list_buckets()["Buckets"]] == [BUCKET]


def test_no_credentials(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(LearnAlignError, match=r"(?s)cannot reach.*set them in the environment"):
        RunFolder(url)


def test_credentials_that_may_not(url: str, store: Store) -> None:
    with RunFolder(url).locked():
        pass
    requests.post(f"{store.endpoint}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        with (
            pytest.raises(LearnAlignError, match="credentials with permission to read"),
            RunFolder(url).locked(),
        ):
            pass
    finally:
        requests.post(f"{store.endpoint}/moto-api/reset-auth", data=b"inf", timeout=10)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(LearnAlignError, match=r"pip install 'learnalign\[remote\]'"):
        as_path("s3://bucket/run")
    with pytest.raises(LearnAlignError, match=r"pip install 'learnalign\[remote\]'"):
        load_config(overrides={"run.out": "s3://bucket/run"})


@pytest.mark.parametrize("out", ["sftp://host/run", "file:///tmp/run", "s3://"])
def test_what_is_no_folder_of_an_object_store(out: str) -> None:
    with pytest.raises(LearnAlignError, match="mount other storage"):
        load_config(overrides={"run.out": out})


def test_a_configuration_keeps_the_address(tmp_path: Path) -> None:
    config = load_config(overrides={"run.out": "memory://bucket/run/"})
    write_config(tmp_path / "config.yaml", config)
    again = load_config(tmp_path / "config.yaml")
    assert str(again.run.out) == "memory://bucket/run"
    assert again == config
    here = load_config(overrides={"run.out": "runs/x/../y"}).run.out
    assert (type(here), here) == (type(tmp_path), Path("runs/x/../y"))
    with pytest.raises(LearnAlignError, match=r"got run.out = 3"):
        load_config(sets=["run.out=3"])


def test_a_training_stays_on_this_machine() -> None:
    config = load_config(overrides={"run.out": "memory://bucket/run", "model.path": "m"})
    with pytest.raises(LearnAlignError, match="a folder on this machine"):
        train(config, progress=Progress("none"))
