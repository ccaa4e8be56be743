"""Benchmarks' JSON: the machine it tells is this one, and every benchmark tells it."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("harness")


@pytest.fixture
def machine(harness: ModuleType) -> ModuleType:
    return sys.modules["machine"]


def test_a_result_says_where_it_was_measured(
    harness: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"speed": harness.Figure(2.0, "s", "lower", goal=1.0)}
    harness.publish("speed", time.monotonic(), figures, [{"n": 1}], folder=tmp_path)
    assert "MISSED" in capsys.readouterr().out
    result = json.loads((tmp_path / "speed.json").read_text())
    assert (result["figures"]["speed"]["value"], result["rows"]) == (2.0, [{"n": 1}])
    about = result["machine"]
    assert result["commit"] == about["learnalign"]["commit"]
    assert about["python"] == platform.python_version()
    assert about["packages"]["torch"] == torch.__version__
    assert about["packages"]["transformers"] == transformers.__version__
    assert about["processors"] == os.cpu_count()
    assert about["processor"]["torch_threads"] == torch.get_num_threads()
    assert about["processor"]["model"]
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    assert 0 < about["memory_bytes"] <= pages * page * 1.01


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of x86's instructions")
def test_instructions_are_those_that_torch_finds(machine: ModuleType) -> None:
    told = machine.machine(BENCHMARKS)["processor"]["instructions"]
    found = torch.cpu.get_capabilities()
    ours = {"avx2": "avx2", "avx512f": "avx512_f", "avx512_bf16": "avx512_bf16"}
    ours |= {"avx512_vnni": "avx512_vnni", "amx_tile": "amx_tile"}
    for name, torchs in ours.items():
        assert (name in told) == bool(found.get(torchs)), name


def test_gpus_as_nvidias_tool_tells_them(
    machine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'test "$1" = --query-gpu=name,driver_version,memory.total,compute_cap || exit 9\n'
        "echo 'NVIDIA H100 80GB HBM3, 570.124.06, 81559, 9.0'\n"
        "echo 'NVIDIA H100 80GB HBM3, 570.124.06, 81559, 9.0'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    first, second = machine.machine(BENCHMARKS)["gpus"]
    assert first == second
    assert (first["name"], first["driver"]) == ("NVIDIA H100 80GB HBM3", "570.124.06")
    assert first["cuda"] == torch.version.cuda
    # A tool that fails (no driver) is as good as none.
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    if not torch.cuda.is_available():
        assert machine.machine(BENCHMARKS)["gpus"] == []


def test_the_commit_and_whether_the_code_is_another(machine: ModuleType, tmp_path: Path) -> None:
    def about() -> dict[str, object]:
        found: dict[str, object] = machine.machine(tmp_path)["learnalign"]
        return found

    assert (about()["commit"], about()["changed"]) == (None, None)
    (tmp_path / "src").mkdir()
    code = tmp_path / "src" / "code.py"
    code.write_text("1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    assert (about()["commit"], about()["changed"]) == (head, False)
    # Results are no code: a second benchmark is not measured on other code than the first.
    (tmp_path / "results.json").write_text("{}")
    assert about()["changed"] is False
    code.write_text("2\n")
    assert about()["changed"] is True


@pytest.mark.parametrize(
    ("text", "processors"), [("max 100000\n", None), ("250000 100000\n", 2.5), ("", None)]
)
def test_a_containers_share(text: str, processors: float | None, machine: ModuleType) -> None:
    assert machine._quota(text) == processors


def test_every_result_comes_through_the_harness() -> None:
    names = {path.name.partition(".")[0] for path in BENCHMARKS.glob("results/*.json")}
    assert names
    for name in names:
        code = (BENCHMARKS / f"{name}.py").read_text(encoding="utf-8")
        assert re.search(r"^from harness import .*\bpublish$", code, re.MULTILINE), name
        assert "publish(" in code, name
