"""Every benchmark can be imported with the code as it is, and those with options print them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PEERS = BENCHMARKS / "peers"
FILES = sorted([*BENCHMARKS.glob("*.py"), *PEERS.glob("*.py")])
#: What peers measure; `benchmarks/peers/install.sh` puts it into an environment of its own.
OTHERS = {"bergson", "dattri", "dattri_llm", "peft", "trak"}

#: Imports modules one after the other, as they import each other: by their bare names. Says of each
#: how that went, and what it answers to ``--help``.
LOOK = """
import contextlib, importlib, io, json, sys, traceback

for name, has_options in json.loads(sys.argv[1]).items():
    said = {"name": name, "missing": None, "error": None, "code": None, "help": None}
    out = io.StringIO()
    try:
        module = importlib.import_module(name)
        if has_options:
            sys.argv = [name + ".py", "--help"]
            with contextlib.redirect_stdout(out):
                module.main()
    except SystemExit as end:
        said |= {"code": end.code or 0, "help": out.getvalue()}
    except ModuleNotFoundError as error:
        said |= {"missing": error.name, "error": str(error)}
    except BaseException:
        said["error"] = traceback.format_exc()
    print(json.dumps(said), flush=True)
"""


def _has_options(file: Path) -> bool:
    text = file.read_text()
    runs = 'if __name__ == "__main__":' in text
    return runs and (file.parent == PEERS or "ArgumentParser(" in text)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What came of each module, all in one process: most of the time goes into libraries."""
    path = os.pathsep.join([str(BENCHMARKS), str(PEERS), os.environ.get("PYTHONPATH", "")])
    asked = json.dumps({file.stem: _has_options(file) for file in FILES})
    done = subprocess.run(
        [sys.executable, "-c", LOOK, asked],
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return {row["name"]: row for row in rows}


def test_names_are_distinct() -> None:
    assert len({file.stem for file in FILES}) == len(FILES) > 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(BENCHMARKS)))
def test_it_is_imported_and_prints_its_options(
    file: Path, found: dict[str, dict[str, Any]]
) -> None:
    row = found[file.stem]
    if file.parent == PEERS and (row["missing"] or "").partition(".")[0] in OTHERS:
        pytest.skip(f"measures {row['missing']}, which is not installed")
    assert row["error"] is None, row["error"]
    if not _has_options(file):
        assert row["code"] is None
        return
    assert row["code"] == 0
    assert row["help"].startswith(f"usage: {file.name} ")


def test_options_are_looked_for_where_they_are() -> None:
    named = {file.stem for file in FILES if _has_options(file)}
    assert named >= {"verdicts", "gradients", "learnalign_vs", "plain_step"}
    assert not named & {"harness", "groups", "fidelity"}
