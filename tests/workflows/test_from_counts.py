"""Selecting by counts of correct rollouts alone: what they serve, and what they cannot."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import learnalign
from helpers.command_line import call
from helpers.digits import OPTIONS, digits_data, digits_model
from learnalign import load_config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.imported import served_methods
from learnalign.workflows.estimate import estimate_rollouts

#: Correct rollouts of each problem, of 16 (more than the 8 that a run samples) or fewer.
RIGHT = {"0+0": (8, 16), "0+1": (1, 16), "0+2": (16, 16), "0+3": (0, 4), "0+4": (2, 4)}


def _options(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    path = tmp_path / "counts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    options = OPTIONS | {"rollouts.engine": "recorded", "rollouts.recorded": (path,)}
    return options | {"verifier.kind": "auto", "selection.method": "learnability"} | more


def _rows() -> list[dict[str, Any]]:
    """Every way to give counts."""
    named = [{"problem_id": name, "num_correct": k, "num_rollouts": n}
             for name, (k, n) in RIGHT.items()]  # fmt: skip
    named[1] = {"prompt": "0+1=", "num_rollouts": 16, "pass_rate": 0.06}  # rounded from 0.0625
    named[4] = {"problem_id": "0+4", "num_rollouts": 4, "success_rate": 0.5}
    return named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    digits_model(tmp_path / "model")
    digits_data(tmp_path / "pool.jsonl", count=5)
    return tmp_path


def _select(folder: Path, options: dict[str, Any], out: str = "run") -> learnalign.Selection:
    model, data = str(folder / "model"), str(folder / "pool.jsonl")
    return learnalign.select(
        model, data, budget=2, out=folder / out, options=options, progress="none"
    )


def test_counts_rank_by_p_times_1_minus_p(folder: Path) -> None:
    """With all rollouts that were counted, not the run's number of them; and in the report."""
    done = _select(folder, _options(folder, _rows()))
    found = {row["problem_id"]: row for row in done.scores.to_pylist()}
    for name, (right, total) in RIGHT.items():
        rate = right / total
        assert (found[name]["num_correct"], found[name]["num_rollouts"]) == (right, total)
        assert found[name]["learnability"] == pytest.approx(rate * (1 - rate), abs=1e-12)
    assert set(done.problem_ids) == {"0+0", "0+4"}
    page = (done.path / "report.html").read_text()
    assert "0+0=" in page
    assert done.summary["warnings"] == []


def test_a_method_with_gradients_stops_and_names_the_others(folder: Path) -> None:
    """Nothing is lost: the same folder goes on with a method that the counts serve."""
    options = _options(folder, _rows())
    with pytest.raises(LearnAlignError, match="5 problems have only rewards") as raised:
        _select(folder, options | {"selection.method": "learnalign"})
    for method in ("learnability", "band", "random", "features"):
        assert method in str(raised.value)
    assert "gradalign" not in str(raised.value)
    assert set(_select(folder, options).problem_ids) == {"0+0", "0+4"}


@pytest.mark.parametrize("method", [m for m in served_methods(tokens=False) if m != "selectit"])
def test_all_methods_that_are_named_do_work(folder: Path, method: str) -> None:
    rows = [{"problem_id": name, "success_rates": [0.5, k / n]} for name, (k, n) in RIGHT.items()]
    history = folder / "history.jsonl"
    history.write_text("\n".join(map(json.dumps, rows)))
    done = _select(
        folder,
        _options(folder, _rows(), **{"selection.method": method, "selection.history": history}),
    )
    assert len(done.problem_ids) == 2


def test_rollouts_of_a_problem_replace_its_counts(folder: Path) -> None:
    rows = [*_rows(), *({"prompt": "0+0=", "completion": str(g), "reward": g} for g in range(2))]
    done = _select(folder, _options(folder, rows))
    found = {row["problem_id"]: row["num_rollouts"] for row in done.scores.to_pylist()}
    assert found["0+0"] == 2
    assert any(text.startswith("16 of 58 recorded rollouts are counts") for text in
               done.summary["warnings"])  # fmt: skip


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"num_correct": 9, "num_rollouts": 8}, "line 1: num_correct is 9 and num_rollouts 8"),
        ({"num_correct": 1.5, "num_rollouts": 8}, "line 1: num_correct is 1.5"),
        ({"num_correct": -1, "num_rollouts": 8}, "line 1: num_correct is -1"),
        ({"pass_rate": 0.3, "num_rollouts": 8}, "num_rollouts is 8, and pass_rate 0.3"),
        ({"pass_rate": 62.5, "num_rollouts": 8}, "and pass_rate 62.5"),
        ({"pass_rate": 0.5}, "its columns are problem_id, pass_rate"),
    ],
)
def test_counts_that_cannot_be(folder: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(LearnAlignError, match=words):
        _select(folder, _options(folder, [{"problem_id": "0+0"} | row]))


def test_what_counts_cannot_serve_is_refused(folder: Path) -> None:
    options = _options(folder, _rows())
    with pytest.raises(LearnAlignError, match="no text to judge"):
        _select(folder, options | {"verifier.kind": "number"})
    with pytest.raises(LearnAlignError, match="--rollouts auto"):
        _select(folder, options | {"rollouts.spend": "auto"}, "rounds")


def test_the_dry_run_says_what_they_serve(folder: Path) -> None:
    options = _options(folder, _rows())
    options |= {"model.path": str(folder / "model"), "data.paths": (str(folder / "pool.jsonl"),)}
    work = estimate_rollouts(load_config(overrides=options))
    assert work["recorded_formats"] == "counts"
    assert work["recorded_rollouts_serve"].startswith("methods without gradients: signal,")
    assert (work["recorded_rollouts"], work["recorded_rollouts_with_exact_tokens"]) == (56, 0)


def test_the_scores_of_a_run_are_counts(folder: Path) -> None:
    """scores.parquet gives another run the same success rates."""
    first = _select(folder, _options(folder, _rows()))
    options = _options(folder, [])
    options["rollouts.recorded"] = (first.path / "scores.parquet",)
    again = _select(folder, options, "again")
    names = ["success_rate", "num_rollouts", "learnability"]
    for name in names:
        np.testing.assert_array_equal(again.scores[name], first.scores[name])


def test_the_command_says_what_they_serve(folder: Path) -> None:
    path = folder / "counts.jsonl"
    path.write_text("\n".join(map(json.dumps, _rows())))
    done = call("rollout", folder / "model", folder / "pool.jsonl", "--recorded", path,
                "--template", "{{ question }}", "-o", folder / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "serves: signal, learnability, features" in done.stdout
    assert "--method learnability" in done.stdout
