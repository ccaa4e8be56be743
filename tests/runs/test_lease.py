"""The lease on a run folder in a store: one holder, told, renewed, grown old, lost, raced for."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from helpers.object_store import BUCKET, Store, object_store
from learnalign.errors import LearnAlignError
from learnalign.runs import lease
from learnalign.runs.folder import RunFolder
from learnalign.runs.lease import Lease
from learnalign.storage.paths import as_path

ANOTHER = "process 1 on elsewhere\nanother token\n"
TABLE = pa.table({"problem_id": ["a", "b"]})


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with object_store() as found:
        yield found


@pytest.fixture
def url(store: Store, request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


def test_a_lease_is_told_of_until_it_has_grown_old(url: str, store: Store) -> None:
    for age in (0.0, 100.0):
        as_path(f"{url}/.owner").write_text(ANOTHER)
        store.age(_key(url), age)
        message = r"(?s)in use by process 1 on elsewhere, last renewed \d+ s ago.*expires in \d+ s"
        with pytest.raises(LearnAlignError, match=message), RunFolder(url).locked():
            pass
    store.age(_key(url), 30.0)
    with RunFolder(url).locked():
        assert f"process {os.getpid()} on " in as_path(f"{url}/.owner").read_text()
    assert store.keys(url.split("/")[-1] + "/") == []


def test_a_lease_is_renewed(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    with RunFolder(url).locked():
        store.age(_key(url), 200.0)
        old = store.modified(_key(url))
        while store.modified(_key(url)) == old:
            time.sleep(0.05)
        with pytest.raises(LearnAlignError, match="is in use by"), RunFolder(url).locked():
            pass


def _key(url: str) -> str:
    return f"{url.split('/')[-1]}/.owner"


def _lose(folder: RunFolder, url: str) -> None:
    with folder.locked():
        folder.begin("problems", {"a": 1})
        as_path(f"{url}/.owner").write_text(ANOTHER)
        folder.write_shard("problems", 0, TABLE, seconds=0.0)


def test_who_has_lost_the_lease_writes_no_manifest(url: str) -> None:
    with pytest.raises(LearnAlignError, match="taken over by process 1 on elsewhere"):
        _lose(RunFolder(url), url)
    assert RunFolder(url).num_shards("problems") == 0
    # Nor is the other's lease deleted.
    assert as_path(f"{url}/.owner").read_text() == ANOTHER


def test_who_has_lost_the_lease_does_not_renew_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    with RunFolder(url).locked():
        as_path(f"{url}/.owner").write_text(ANOTHER)
        time.sleep(0.5)
        assert "another token" in as_path(f"{url}/.owner").read_text()


def _one_of(url: str, count: int) -> list[str]:
    """Let several take the lease at the same moment; give those who think they have it."""
    claims = [Lease(as_path(url), f"claim {i}") for i in range(count)]
    start = threading.Barrier(count)

    def take(claim: Lease) -> str:
        start.wait()
        try:
            claim.take()
        except LearnAlignError:
            return ""
        return claim.token

    with ThreadPoolExecutor(count) as pool:
        return [token for token in pool.map(take, claims) if token]


def test_of_many_at_once_one_gets_it(url: str) -> None:
    (winner,) = _one_of(url, 8)
    assert winner in as_path(f"{url}/.owner").read_text()


def test_of_many_who_find_an_old_one_one_gets_it(url: str, store: Store) -> None:
    as_path(f"{url}/.owner").write_text(ANOTHER)
    store.age(_key(url), 200.0)
    (winner,) = _one_of(url, 6)
    assert winner in as_path(f"{url}/.owner").read_text()


def test_who_died_while_taking_over_is_in_nobodys_way(url: str, store: Store) -> None:
    for name in ("", "-turn"):
        as_path(f"{url}/.owner{name}").write_text(ANOTHER)
        store.age(f"{_key(url)}{name}", 200.0)
    with RunFolder(url).locked():
        assert f"process {os.getpid()} on " in as_path(f"{url}/.owner").read_text()


def test_in_a_store_without_conditions_the_last_who_wrote_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    plain = MemoryFileSystem.pipe_file

    def careless(self, path, value, mode="overwrite", **more):
        return plain(self, path, value, mode="overwrite", **more)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", careless)
    monkeypatch.setattr(lease, "SETTLE_S", 0.3)
    assert len(_one_of("memory://careless/run", 6)) == 1


def test_a_lease_that_cannot_be_given_back_is_left_to_grow_old() -> None:
    with object_store() as own:
        with RunFolder(f"s3://{BUCKET}/gone").locked():
            own.stop()
        own.start()
        assert own.keys("gone/") == ["gone/.owner"]
