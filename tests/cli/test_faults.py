"""The command line against real faults: full disk, read-only folder, two processes, Ctrl-C."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.command_line import PROGRAM, call
from helpers.processes import heed_signals
from learnalign.runs.folder import RunFolder

DATA = "reasoning-gym:chain_sum?size=10&seed=1&max_terms=2&max_digits=1"
FLAGS = ["--budget", "3", "--num-rollouts", "4", "--max-tokens", "5", "--stop", "\n"]
FLAGS += ["--assistant-prefix", "{{ row.metadata.expression }} =", "--verifier", "number"]
FLAGS += ["--method", "learnability", "--num-bootstrap", "10", "--shard-size", "4"]


def _command(model: Path, out: Path) -> list[str]:
    return [*PROGRAM, "select", str(model), DATA, *FLAGS, "--out", str(out)]


def _call(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=250, **options)


def _tables(out: Path) -> dict[str, pa.Table]:
    found = {
        stage: pa.concat_tables(map(pq.read_table, sorted((out / stage).glob("*.parquet"))))
        for stage in ("problems", "rollouts", "verdicts")
    }
    return found | {"scores": pq.read_table(out / "scores.parquet")}


@pytest.fixture(scope="module")
def undisturbed(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "undisturbed"
    done = call(*_command(sums, out)[len(PROGRAM) :])
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory; a machine where one may not skips the test."""
    place = tmp_path / "mounted"

    def make(options: str) -> Path:
        place.mkdir()
        done = _call(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)])
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        return place

    if not sys.platform.startswith("linux"):
        pytest.skip("file systems in memory are mounted on Linux only")
    yield make
    if place.is_dir():
        _call(["umount", str(place)])


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(3_000, id="a shard", marks=pytest.mark.slow),
        pytest.param(200_000, id="the report"),
    ],
)
def test_a_file_that_cannot_grow_ends_with_2_and_loses_nothing(
    limit: int, undisturbed: Path, sums: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    full = _call(
        _command(sums, out),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert full.returncode == 2, full.stderr
    assert "cannot write" in full.stderr
    assert "run the same command" in full.stderr
    assert not list(out.rglob("*.tmp"))
    done = call(*_command(sums, out)[len(PROGRAM) :])
    assert done.returncode == 0, done.stderr
    assert _tables(out) == _tables(undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_full(mount: Callable[[str], Path], undisturbed: Path, sums: Path) -> None:
    disk = mount("size=1m")
    full = _call(_command(sums, disk / "run"))
    assert full.returncode == 2, full.stderr
    assert "No space left" in full.stderr
    assert "free space" in full.stderr
    _call(["mount", "-o", "remount,size=32m", str(disk)])
    done = call(*_command(sums, disk / "run")[len(PROGRAM) :])
    assert done.returncode == 0, done.stderr
    assert _tables(disk / "run") == _tables(undisturbed)


def test_a_disk_that_is_read_only(mount: Callable[[str], Path], sums: Path) -> None:
    disk = mount("ro,size=1m")
    done = _call(_command(sums, disk / "run"))
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "Read-only file system" in done.stderr
    assert "choose another folder with --out" in done.stderr


def test_the_second_of_two_processes_is_told(sums: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with RunFolder(out).locked():
        done = _call(_command(sums, out))
    assert done.returncode == 2, done.stderr
    assert f"in use by process {os.getpid()}" in done.stderr
    assert not (out / "problems").exists()


def test_ctrl_c_ends_with_130_and_goes_on(undisturbed: Path, sums: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        _command(sums, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    while process.poll() is None and not list(out.glob("rollouts/*.parquet")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Run the same command to resume." in said
    assert "Traceback" not in said
    assert not (out / "scores.parquet").exists()
    done = call(*_command(sums, out)[len(PROGRAM) :])
    assert done.returncode == 0, done.stderr
    assert _tables(out) == _tables(undisturbed)


SWALLOWED = """
import os, signal
import pydantic
from learnalign.cli import main

class Row(pydantic.BaseModel):
    value: int

    @pydantic.field_serializer("value")
    def stopped_here(self, value):
        os.kill(os.getpid(), signal.SIGINT)
        return value

main.cli = lambda **options: Row(value=1).model_dump_json()
main.main()
"""


def test_ctrl_c_that_compiled_code_made_another_error_of(tmp_path: Path) -> None:
    done = _call([sys.executable, "-c", SWALLOWED], preexec_fn=heed_signals)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "Interrupted. Run the same command to resume.\n"
