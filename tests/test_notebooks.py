"""The notebooks run from the first cell to the last, and are kept without outputs."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "examples" / "notebooks"
NAMES = ("first_selection", "reading_a_run")


def _run(name: str, run: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a notebook in a kernel of this interpreter; give what its cells showed."""
    monkeypatch.setenv("LEARNALIGN_MODEL", str(model))
    monkeypatch.setenv("LEARNALIGN_RUN", str(run))
    # A cell calls `learnalign`, which stands beside the interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": NOTEBOOKS}})
    client.execute()
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells])


def test_a_first_selection(sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _run("first_selection", tmp_path / "run", sums, monkeypatch)
    assert (tmp_path / "run" / "report.html").is_file()
    exported = (tmp_path / "run" / "export-trl" / "selected.jsonl").read_text()
    assert len(exported.splitlines()) == 5
    assert "gold answer" in shown
    assert "learnability" in shown


def test_reading_a_run(
    sums: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _run("reading_a_run", finished, sums, monkeypatch)
    assert "14 problems" in shown
    assert shown.count("image/png") == 2


@pytest.mark.parametrize("name", NAMES)
def test_they_are_kept_without_outputs(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_these_are_all() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == list(NAMES)
