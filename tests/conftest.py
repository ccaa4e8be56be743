"""What every test may ask for: no hub, the real small model, a tiny one, and a run of each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from filelock import FileLock
from hypothesis import settings

# A first call that loads a library is slow; how long a case takes is no part of any property.
settings.register_profile("learnalign", deadline=None)
settings.load_profile("learnalign")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, converted once and kept in ``models/``."""
    folder = ROOT / "models" / "SmolLM2-135M-Instruct"
    with _one_process(folder.parent / ".smollm2.lock"):
        if not (folder / "config.json").is_file():
            script = [sys.executable, str(ROOT / "examples" / "smollm2.py"), str(folder)]
            done = subprocess.run(script, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"SmolLM2 cannot be made: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture(scope="session")
def sums(shared_folder: Path) -> Path:
    """A tiny model that solves some sums, trained once a test run."""
    folder = shared_folder / "sums"
    with _one_process(shared_folder / "sums.lock"):
        if not folder.is_dir():
            from helpers.sums_model import sums_model

            sums_model(folder)
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def real_run(smollm2: Path, shared_folder: Path) -> Path:
    """The folder of the whole way with the real small model, made once; only to be read."""
    return _selected(smollm2, shared_folder / "real-run")


@pytest.fixture(scope="session")
def finished(sums: Path, shared_folder: Path) -> Path:
    """The folder of a finished selection with the tiny model; only to be read."""
    return _selected(sums, shared_folder / "finished")


@pytest.fixture
def finished_copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished selection, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "finished"))


def _selected(model: Path, out: Path) -> Path:
    """Make a selection, if no process of this test run has."""
    with _one_process(out.with_suffix(".lock")):
        if not (out / "scores.parquet").is_file():
            from helpers.sums_run import select

            select(model, out)
    return out


def _one_process(path: Path) -> FileLock:
    """Let one of several test processes make what all of them read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
