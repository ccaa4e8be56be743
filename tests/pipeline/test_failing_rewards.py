"""Runs whose reward function or golds are no good: told at once, and nothing paid is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

import learnalign
from helpers.digits import OPTIONS, digits_data, digits_model
from learnalign import load_config
from learnalign.errors import LearnAlignError
from learnalign.terminal.progress import Progress
from learnalign.workflows.train import train

MODULE = """
def fails(completions, answer, **kwargs):
    return [float(text == gold) for text, gold in zip(completions, answers)]

def works(completions, answer, **kwargs):
    return [float(text == gold) for text, gold in zip(completions, answer)]

def steps(completions, trainer_state, **kwargs):
    return [trainer_state.global_step + 100 * trainer_state.max_steps] * len(completions)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("digits") / "model")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve sums in a current folder with reward functions."""
    (tmp_path / "own.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return digits_data(tmp_path / "sums.jsonl")


def select(model: Path, data: Path, **options: Any) -> learnalign.Selection:
    given = {key.replace("__", "."): value for key, value in options.items()}
    given = {**OPTIONS, "selection.method": "learnability", **given}
    call: dict[str, Any] = {"budget": 2, "out": data.with_name("run"), "progress": "none"}
    return learnalign.select(str(model), str(data), options=given, **call)


def training(model: Path, data: Path, kind: str, **options: Any) -> Any:
    given = {key.replace("__", "."): value for key, value in options.items()}
    chosen = {**OPTIONS, "verifier.kind": kind, "training.problems_per_step": 3}
    chosen |= {"data.paths": (str(data),), "model.path": str(model), "training.steps": 3}
    chosen |= {"run.out": str(data.with_name("trained")), **given}
    return train(load_config(overrides=chosen), progress=Progress("none"))


def test_a_function_that_cannot_be_imported_ends_the_run_before_it_begins(
    model: Path, data: Path
) -> None:
    for kind, words in (("own:fail", "nearest is 'fails'"), ("owm:fails", "No module named 'owm'")):
        with pytest.raises(LearnAlignError, match=words):
            select(model, data, verifier__kind=kind)
    assert not (data.with_name("run") / "problems").exists()


def test_a_function_that_always_fails_costs_one_shard_of_rollouts(model: Path, data: Path) -> None:
    with pytest.raises(LearnAlignError, match="NameError: name 'answers' is not defined"):
        select(model, data, verifier__kind="own:fails")
    kept = [path.read_bytes() for path in (data.with_name("run") / "rollouts").glob("*.parquet")]
    assert len(kept) == 1  # of four
    data.with_name("own.py").write_text(MODULE.replace("answers", "answer"))
    assert len(select(model, data, verifier__kind="own:fails").problem_ids) == 2
    rollouts = [
        path.read_bytes() for path in (data.with_name("run") / "rollouts").glob("*.parquet")
    ]
    assert kept[0] in rollouts


@pytest.mark.parametrize("spend", ["full", "auto"])
def test_a_pool_of_one_shard_is_told_the_reason_too(model: Path, data: Path, spend: str) -> None:
    with pytest.raises(LearnAlignError, match="NameError"):
        select(model, data, verifier__kind="own:fails", run__shard_size=64, rollouts__spend=spend)


def test_a_training_stops_at_the_first_step(model: Path, data: Path) -> None:
    with pytest.raises(LearnAlignError, match="NameError: name 'answers' is not defined"):
        training(model, data, "own:fails", training__save_every=1)
    folder = data.with_name("trained")
    assert not (folder / "model").exists()
    assert not list(folder.glob("steps/*.parquet"))


def test_trls_training_stops_at_the_first_step(model: Path, data: Path) -> None:
    pytest.importorskip("trl")
    with pytest.raises(LearnAlignError, match="NameError: name 'answers' is not defined"):
        training(model, data, "own:fails", training__trainer="trl", training__dtype="float32")
    assert not (data.with_name("trained") / "model").exists()


@pytest.mark.parametrize("trainer", ["native", "trl"])
def test_a_function_sees_the_step_it_is_called_at(model: Path, data: Path, trainer: str) -> None:
    pytest.importorskip("trl")
    more = {"training__trainer": trainer, "training__dtype": "float32"}
    done = training(model, data, "own:steps", **more)
    assert done.steps["mean_reward"].to_pylist() == [300.0, 301.0, 302.0]


def test_golds_that_no_answer_can_meet_leave_the_pool_before_rollouts_are_paid_for(
    model: Path, data: Path
) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[1]["answer"] = "many"
    rows[2]["answer"] = "3 of 4"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = select(model, data)
    gone = {row["source_row"]: (row["stage"], row["reason"]) for row in done.excluded.to_pylist()}
    assert gone == dict.fromkeys((1, 2), ("problems", "unparsed_gold"))
    details = done.excluded["detail"].to_pylist()
    assert "'many'" in details[0]
    assert "'3 of 4'" in details[1]
    told = "2 problems left the pool because their gold"
    assert any(told in text for text in done.summary["warnings"])
    rollouts = learnalign.runs.folder.RunFolder(done.path)
    with rollouts.locked():
        assert rollouts.table("rollouts").num_rows == 10 * 8
    # Another verdict on the same rollouts: what math may accept was set aside by number.
    other = learnalign.load_config(
        overrides={**OPTIONS, "model.path": str(model), "data.paths": (str(data),)}
        | {"run.out": str(done.path), "selection.budget": 2, "verifier.kind": "math"}
        | {"selection.method": "learnability"}
    )
    again = learnalign.run(other, progress=Progress("none"), redo="verdicts")
    assert any("'number' excluded 2 problems" in text for text in again.summary["warnings"])


def test_a_pool_without_a_single_good_gold(model: Path, data: Path) -> None:
    data.write_text('{"question": "1+1=", "answer": "many"}\n')
    with pytest.raises(LearnAlignError, match=r"all 1 were excluded \(unparsed_gold\)"):
        select(model, data)
