"""The steps of another trainer's training: LIMR, variance, and what a curriculum begins with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import learnalign
from helpers.command_line import call
from helpers.digits import OPTIONS, digits_data, digits_model
from learnalign import load_config
from learnalign.cli.options import training_config
from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.tables import PROBLEMS
from learnalign.terminal.progress import Progress
from learnalign.workflows.curriculum_history import learn_history

SILENT = Progress("none")
NAMES = [f"0+{b}" for b in range(5)]
#: (steps, problems) correct ones of four rollouts; a problem without is not in that step.
RIGHT: list[list[int | None]] = [[0, 4, 1, 2, None], [1, 4, 1, 2, None], [4, 4, 2, 2, None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    digits_model(tmp_path / "model")
    digits_data(tmp_path / "pool.jsonl", count=5)
    for step, counts in enumerate(RIGHT, 1):
        rows = [
            {
                "input": f"{name}=",
                "output": "1",
                "gts": "1",
                "score": float(g < right),
                "step": step,
            }
            for name, right in zip(NAMES, counts, strict=True)
            for g in range(0 if right is None else 4)
        ]
        (tmp_path / "dump").mkdir(exist_ok=True)
        (tmp_path / "dump" / f"{step}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def _rates() -> np.ndarray:
    return np.array(RIGHT, dtype=np.float64)[:, :4].T / 4


@pytest.mark.parametrize("method", ["history_variance", "limr"])
def test_a_trainings_steps_select(folder: Path, method: str) -> None:
    """By the papers' formulas, on the rates that were written; the fifth problem has none."""
    rates = _rates()
    if method == "history_variance":
        expected = rates.var(axis=1)
    else:
        mean = rates.mean(axis=0)
        expected = 1 - ((rates - mean) ** 2).sum(axis=1) / ((1 - mean) ** 2).sum()
    counts = folder / "counts.jsonl"
    rows = [{"problem_id": n, "num_correct": 1, "num_rollouts": 2} for n in NAMES]
    counts.write_text("\n".join(map(json.dumps, rows)))
    options = OPTIONS | {"rollouts.engine": "recorded", "rollouts.recorded": (counts,)}
    options |= {"verifier.kind": "auto", "selection.method": method}
    options |= {"selection.history": folder / "dump"}
    done = learnalign.select(
        str(folder / "model"), str(folder / "pool.jsonl"), budget=2, out=folder / "run",
        options=options, progress="none",
    )  # fmt: skip
    scores = {row["problem_id"]: row["score"] for row in done.scores.to_pylist()}
    np.testing.assert_allclose([scores[name] for name in NAMES[:4]], expected, atol=1e-12)
    assert done.scores.sort_by("rank")["problem_id"].to_pylist()[-1] == "0+4"


def _problems() -> pa.Table:
    rows = [
        {"problem_id": name, "prompt": f"{name}=",
         "messages": [{"role": "user", "content": f"{name}="}]}
        for name in NAMES
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


def _config(folder: Path, name: str, **more: Any) -> Any:
    options = {"model.path": str(folder / "model"), "training.curriculum": name}
    return load_config(overrides=options | {"training.history": folder / "dump"} | more)


def test_a_curriculum_begins_with_what_the_steps_showed(folder: Path) -> None:
    """MoPPS's posterior, with and without forgetting, by its formula."""
    counts = np.array(RIGHT, dtype=np.float64)[:, :4]
    for discount in (1.0, 0.5):
        curriculum = curriculum_named("mopps", 5, discount=discount)
        assert learn_history(curriculum, _config(folder, "mopps"), _problems(), SILENT) == ()
        a = b = np.ones(4)
        for right in counts:
            a = discount * a + (1 - discount) + right
            b = discount * b + (1 - discount) + 4 - right
        estimates = curriculum.estimates()
        assert estimates is not None
        np.testing.assert_allclose(estimates, [*(a / (a + b)), 0.5])


@pytest.mark.parametrize("name", ["mapp", "greso", "learnalign"])
def test_it_is_as_if_the_curriculum_had_been_there(folder: Path, name: str) -> None:
    """The same state as that of one that chose and saw these problems, apart from its own draws."""
    curriculum, witness = (curriculum_named(name, 5, seed=0) for _ in range(2))
    learn_history(curriculum, _config(folder, name), _problems(), SILENT)
    for right in np.array(RIGHT, dtype=np.float64)[:, :4]:
        witness.observe(range(4), right, 4)
        witness.next_batch(0)
    assert curriculum.state_dict() == witness.state_dict()
    assert curriculum.state_dict() != curriculum_named(name, 5, seed=0).state_dict()


def test_rates_alone_count_as_known_rollouts(folder: Path) -> None:
    path = folder / "rates.jsonl"
    path.write_text(json.dumps({"problem_id": "0+0", "success_rates": [0.25, None]}))
    curriculum = curriculum_named("mopps", 5)
    more = {"training.history": path, "training.known_rollouts": 4}
    learn_history(curriculum, _config(folder, "mopps", **more), _problems(), SILENT)
    estimates = curriculum.estimates()
    assert estimates is not None
    np.testing.assert_allclose(estimates, [2 / 6, 0.5, 0.5, 0.5, 0.5])


def test_a_curriculum_that_learns_nothing_is_refused(folder: Path) -> None:
    config = _config(folder, "dynamic")
    with pytest.raises(LearnAlignError, match=r"(?s)--curriculum dynamic.*mopps, mapp, greso"):
        learn_history(curriculum_named("dynamic", 5), config, _problems(), SILENT)


def test_the_reward_of_a_history_is_named_for_a_training(folder: Path) -> None:
    """With two reward functions the error names a remedy that `train` accepts."""
    dump = folder / "trl"
    dump.mkdir()
    row = {"step": 1, "prompt": "0+0=", "completion": "1", "advantage": 0.0}
    (dump / "1.jsonl").write_text(json.dumps(row | {"accuracy": 1.0, "form": 0.0}))
    curriculum = curriculum_named("mopps", 5)
    config = _config(folder, "mopps", **{"training.history": dump})
    with pytest.raises(LearnAlignError, match=r"--set rollouts\.recorded_reward=accuracy"):
        learn_history(curriculum, config, _problems(), SILENT)
    flags = {"training__history": dump, "training__curriculum": "mopps"}
    sets = ("rollouts.recorded_reward=accuracy",)
    config = training_config(str(folder / "model"), ("pool.jsonl",), None, sets, flags)
    learn_history(curriculum, config, _problems(), SILENT)
    estimates = curriculum.estimates()
    assert estimates is not None
    assert estimates[0] == pytest.approx(2 / 3)
    with pytest.raises(LearnAlignError, match="for a training, which would ignore it"):
        training_config(None, (), None, ("rollouts.recorded=x",), {})


# --- the command


def test_a_named_import_is_a_recorded_one(folder: Path) -> None:
    """The same tables by both ways; one format at a time."""
    common = ["rollout", folder / "model", folder / "pool.jsonl", "--template", "{{ question }}"]
    dump = folder / "dump"
    one = call(*common, "--import", "verl", dump, "--json", "-o", folder / "one")
    two = call(*common, "--recorded", dump, "--json", "-o", folder / "two")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    found = [json.loads(done.stdout) for done in (one, two)]
    assert found[0] | {"out": ""} == found[1] | {"out": ""}
    assert found[0]["mean_success_rate"] == pytest.approx(_rates()[:, 2].mean())
    assert "learnalign" in found[0]["serves"]
    again = call(*common, "--import", "verl", dump, "-o", folder / "one")
    assert "\nserves: all methods\nnext: learnalign gradients " in again.stdout
    assert any("32 of 48 recorded rollouts are from earlier" in t for t in found[0]["warnings"])
    for arguments, words in (
        (["--import", "verll", dump], "nearest is 'verl'"),
        (["--import", "trl", dump], "the columns of trl"),
        (["--import", "verl", dump, "--import", "trl", dump], "got --import verl and --import trl"),
        (["--import", "verl", dump, "--recorded", dump], "got --import verl and --recorded"),
    ):
        done = call(*common, *arguments, "-o", folder / "three")
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())
