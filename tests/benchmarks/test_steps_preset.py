"""The comparison at reasoning length, made tiny: model, pools, every method, tables, going on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "benchmarks/learnalign_vs.py", "--preset", "steps"]


def run(*options: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options],
        cwd=ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_of_it_runs(smollm2: Path, tmp_path: Path) -> None:
    options = (
        "--tiny",
        "--seeds",
        "0:1",
        "--work",
        str(tmp_path),
        "--device",
        "cpu",
        "--jobs",
        "2",
    )
    said = run(*options)
    file = tmp_path / "steps-tiny" / "learnalign_vs.steps-tiny.jsonl"
    lines = file.read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    pools = {row["pool"] for row in rows if row["key"].startswith("pool:")}
    cells = {row["method"]: row for row in rows if row["key"].startswith("cell:")}
    assert pools == {"base", "warm"}
    assert len(rows) == 2 + 9 == 2 + len(cells)
    assert cells["full"]["num_chosen"] == 24
    assert all(row["num_chosen"] == 6 for name, row in cells.items() if name != "full")
    assert cells["full"]["noise"] == {"none": 11, "mislabelled": 1, "coin": 12}
    # A model that knows nothing has a signal where a coin decides, and there alone.
    assert cells["learnability"]["noise"] == {"coin": 6}
    assert cells["learnalign"]["with_signal"] == 1.0
    assert all(row["greedy"]["num_problems"] == 12 for row in cells.values())
    assert all(row["sampled"]["num_problems"] == 8 for row in cells.values())
    assert all(len(row["rewards"]) == 2 for row in cells.values())
    assert "accuracy at 25%" in said

    again = run(*options)
    assert file.read_text() == lines  # nothing is measured twice
    assert "cell:" not in again
    plan = run(*options, "--methods", "random,full", "--dry-run").splitlines()
    assert [line.split()[:2] for line in plan[1:3]] == [
        ["done", "random-0.25-steps2-seed0"],
        ["done", "full-1-steps2-seed0"],
    ]


@pytest.mark.slow
def test_it_asks_for_the_model_that_was_taught(tmp_path: Path) -> None:
    options = ["--work", str(tmp_path), "--adapter", str(tmp_path / "none")]
    done = subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run `python benchmarks/steps_model.py` first" in done.stderr


def test_device_is_passed_through() -> None:
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import vs_presets as v\n"
        "for name in v.NAMES:\n"
        "    which = v.preset(name, device='cuda:0')\n"
        "    print(which.configure(which.work).model.device)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["cuda:0"] * 5, done.stderr


@pytest.mark.slow
def test_settings_are_chosen_on_other_problems_and_in_another_folder(tmp_path: Path) -> None:
    tried = ["--dev", "--set", "training.learning_rate=2e-5", "--seeds", "0:1", "--dry-run"]
    said = subprocess.run(
        [*COMMAND, *tried, "--work", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert said.stdout.endswith(f"evaluated on {tmp_path / 'steps' / 'data' / 'dev.jsonl'}\n")
    refused = subprocess.run([*COMMAND, *tried], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "need a --work of their own" in refused.stderr
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import learnalign_vs as v\n"
        "from pathlib import Path\n"
        "for work in (v.WORK, Path('elsewhere')):\n"
        "    print(v.results(v.preset('steps', work=work)))\n"
        "print(v.results(v.preset('steps', tiny=True)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [
        str(ROOT / "benchmarks" / "results" / "learnalign_vs.steps.jsonl"),
        "elsewhere/steps/learnalign_vs.steps.jsonl",
        str(ROOT / "runs" / "vs" / "steps-tiny" / "learnalign_vs.steps-tiny.jsonl"),
    ], done.stderr
