"""Killed at any file operation, each verb called again ends with the tables of an undisturbed one.

The work is done in forked children of a process that has imported everything.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from helpers.digits import OPTIONS, digits_folder
from helpers.kills import killed_at, one_thread
from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import STAGES, TRAINING_TABLES
from learnalign.terminal.progress import Progress
from learnalign.workflows.evaluate import evaluate
from learnalign.workflows.select import run
from learnalign.workflows.staged import run_staged
from learnalign.workflows.train import train

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
QUIET = Progress("none")
#: What of a table depends on the clock.
CLOCK = ("sampling_s", "verifying_s", "learning_s")

SMALL: dict[str, Any] = {
    **OPTIONS,
    "rollouts.num_rollouts": 4,
    "verifier.kind": "text",
    "selection.budget": 3,
    "selection.num_bootstrap": 2,
    "training.problems_per_step": 2,
    "training.steps": 5,
    "training.save_every": 2,
    "training.learning_rate": 1e-3,
    "training.kl_beta": 0.0,
    "training.dtype": "float32",
    "stages.count": 2,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with one_thread():
        yield digits_folder(tmp_path_factory.mktemp("kills"), 5)


def configured(place: Path, out: Path, **more: Any) -> Config:
    given = {key.replace("__", "."): value for key, value in more.items()}
    fixed = {"model.path": str(place / "model"), "data.paths": (str(place / "pool.jsonl"),)}
    return load_config(overrides={**SMALL, **fixed, "run.out": str(out), **given})


def _select(place: Path, out: Path) -> None:
    run(configured(place, out), progress=QUIET)


def _rounds(place: Path, out: Path) -> None:
    run(configured(place, out, rollouts__spend="auto"), progress=QUIET)


def _warmed(place: Path, out: Path) -> None:
    run(configured(place, out, selection__warmup=3, training__steps=2), progress=QUIET)


def _train(place: Path, out: Path) -> None:
    train(configured(place, out), progress=QUIET)


def _trl(place: Path, out: Path) -> None:
    train(configured(place, out, training__trainer="trl", training__steps=3), progress=QUIET)


def _stages(place: Path, out: Path) -> None:
    more = {"training__steps": 2, "training__save_every": 1, "training__learning_rate": 1e-4}
    run_staged(
        configured(place, out, rollouts__num_rollouts=12, run__seed=1, **more), progress=QUIET
    )


def _evaluate(place: Path, out: Path) -> None:
    evaluate(configured(place, out), [str(place / "pool.jsonl")], samples=2, progress=QUIET)


VERBS: dict[str, Callable[[Path, Path], None]] = {
    "select": _select,
    "select --rollouts auto": _rounds,
    "select --warmup": _warmed,
    "train": _train,
    "train --trainer trl": _trl,
    "stages": _stages,
    "evaluate": _evaluate,
}


def outcome(out: Path) -> dict[str, Any]:
    """Read all tables below a folder, and the weights that came out."""
    found: dict[str, Any] = {}
    for manifest in sorted(out.rglob("manifest.json")):
        folder = manifest.parent
        name = str(folder.relative_to(out))
        training = (folder / "history").is_dir()
        of = RunFolder(folder, TRAINING_TABLES if training else STAGES)
        for stage, record in of.manifest.stages.items():
            assert record.complete, (name, stage)
            table = of.table(stage)
            found[f"{name}/{stage}"] = table.drop([c for c in CLOCK if c in table.column_names])
        found[f"{name}/excluded"] = of.excluded()
        if not training and of.manifest.summary:
            found[f"{name}/scores"] = of.scores()
        for path in folder.glob("model/*.safetensors"):
            found[f"{name}/{path.name}"] = path.read_bytes()
        assert not (folder / "checkpoints").exists()
    for file in sorted(out.rglob("problems.txt")):
        found[str(file.relative_to(out))] = file.read_text()
    if (out / "evaluation.parquet").exists():
        found["evaluation"] = pq.read_table(out / "evaluation.parquet")
    return found


def _files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Callable[[str], tuple[int, dict[str, Any], set[str]]]:
    """Do a verb once; give its number of operations, its tables and its files."""
    known: dict[str, tuple[int, dict[str, Any], set[str]]] = {}

    def of(verb: str) -> tuple[int, dict[str, Any], set[str]]:
        if verb not in known:
            out = place / f"undisturbed {verb}"
            count = killed_at(lambda: VERBS[verb](place, out), out, None)
            known[verb] = count, outcome(out), _files(out)
        return known[verb]

    return of


def _ends_the_same(verb: str, place: Path, out: Path, undisturbed: Any) -> None:
    """Let a verb that was killed end; all is as if it had not been, and nothing else lies there."""
    _, expected, there = undisturbed(verb)
    assert killed_at(lambda: VERBS[verb](place, out), out, None) > 0
    assert outcome(out) == expected, out
    assert _files(out) == there, out
    shutil.rmtree(out)


@pytest.mark.parametrize(
    ("verb", "share"),
    [
        ("select", 0.5),
        pytest.param("select --warmup", 0.4, marks=pytest.mark.slow),
        ("train", 0.7),
        pytest.param("stages", 0.8, marks=pytest.mark.slow),
        pytest.param("evaluate", 0.9, marks=pytest.mark.slow),
    ],
)
def test_killed_somewhere(verb: str, share: float, place: Path, undisturbed: Any) -> None:
    n, out = int(share * undisturbed(verb)[0]), place / f"killed {verb}"
    assert killed_at(lambda: VERBS[verb](place, out), out, n) == 0
    # A second kill, close behind the first, meets what the first one left.
    killed_at(lambda: VERBS[verb](place, out), out, 7)
    _ends_the_same(verb, place, out, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.timeout(3600)
def test_killed_at_every_operation(verb: str, place: Path, undisturbed: Any) -> None:
    """All operations of the quick verbs, every seventh of the others."""
    count = undisturbed(verb)[0]
    step = 1 if verb in ("select", "train", "evaluate") else 7
    for n in range(1, count + 1, step):
        out = place / f"killed {verb} {n}"
        killed_at(lambda out=out: VERBS[verb](place, out), out, n)
        _ends_the_same(verb, place, out, undisturbed)
