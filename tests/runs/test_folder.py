"""The run folder against real faults: full disk, no permission, two processes, changed files."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder

BEGIN = """
import os, sys, time, resource, signal
import pyarrow as pa
from pathlib import Path
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder

out = Path(sys.argv[1])
def write(folder, index, rows=100):
    table = pa.table({"problem_id": [os.urandom(16).hex() for _ in range(rows)]})
    folder.write_shard("problems", index, table, seconds=0.0)
"""


def _process(script: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(script), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _fill(out: Path, count: int = 2) -> RunFolder:
    folder = RunFolder(out)
    with folder.locked():
        folder.begin("problems", {"a": 1})
        for index in range(count):
            table = pa.table({"problem_id": [f"{index}-{i}" for i in range(3)]})
            folder.write_shard("problems", index, table, seconds=0.0)
    return folder


def test_full_disk_loses_nothing(tmp_path: Path) -> None:
    done = _process(
        """
        folder = RunFolder(out)
        with folder.locked():
            folder.begin("problems", {"a": 1})
            write(folder, 0)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            try:
                write(folder, 1, rows=10_000)
            except LearnAlignError as error:
                print(error)
        """,
        tmp_path,
    )
    assert "cannot write" in done.stdout, done.stderr
    assert "run the same command" in done.stdout
    folder = RunFolder(tmp_path)
    assert folder.num_shards("problems") == 1
    assert folder.read_shard("problems", 0).num_rows == 100
    assert [p.name for p in (tmp_path / "problems").iterdir()] == ["part-00000.parquet"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without permission")
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o555)
    for parent in list(tmp_path.parents)[:3]:
        if parent != Path("/tmp"):
            os.chmod(parent, 0o755)
    done = _process(
        """
        os.setuid(65534)
        try:
            with RunFolder(out / "run").locked():
                print("locked")
        except LearnAlignError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "cannot write" in done.stdout, done.stderr
    assert "choose another folder with --out" in done.stdout


def test_second_process_is_told_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    script = (
        BEGIN + "with RunFolder(out).locked():\n    print('mine', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    message = f"in use by process {holder.pid} "
    with pytest.raises(LearnAlignError, match=message), RunFolder(tmp_path).locked():
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with RunFolder(tmp_path).locked():
        pass


def test_changed_option_and_redo(tmp_path: Path) -> None:
    folder = _fill(tmp_path)
    with pytest.raises(
        LearnAlignError, match=r"(?s)problems was computed .*was 1, is now 2.*--redo"
    ):
        folder.begin("problems", {"a": 2})
    folder.discard_tables(["problems"])
    assert folder.num_shards("problems") == 0
    folder.begin("problems", {"a": 2})
    with pytest.raises(LearnAlignError, match="--redo nothing"):
        folder.check_redo("nothing")


def test_shard_that_somebody_changed(tmp_path: Path) -> None:
    folder = _fill(tmp_path)
    (tmp_path / "problems" / "part-00001.parquet").write_bytes(b"short")
    with pytest.raises(LearnAlignError, match="not the file that was written"):
        folder.read_shard("problems", 1)
    assert folder.read_shard("problems", 0).num_rows == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}x", "not a manifest"), ('{"schema_version": 99}', "schema version 99")],
)
def test_manifest_of_another_kind(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(LearnAlignError, match=message):
        RunFolder(tmp_path)
