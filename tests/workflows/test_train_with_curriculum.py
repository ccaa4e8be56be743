"""Trainings with a curriculum: what they sample, train on, record, and how they resume."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from helpers.sums_run import QUIET
from helpers.sums_run import configure_training as configure
from learnalign.curriculum.order import Order
from learnalign.curriculum.registry import CURRICULA, curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.training import native
from learnalign.workflows.select import run
from learnalign.workflows.train import train
from learnalign.workflows.training_curriculum import open_curriculum

#: More steps than one pass, checkpoints in between.
OPTIONS = {"training.steps": 6, "training.save_every": 2}


def configured(sums: Path, out: Path, name: str, **more: Any) -> Any:
    return configure(sums, out, **{"training.curriculum": name} | OPTIONS | more)


def groups(history: pa.Table) -> list[dict[str, Any]]:
    """One row per sampled group, in the order of the training, computed rollout by rollout."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for row in history.to_pylist():
        key = (row["step"], row["problem_id"])
        group = found.setdefault(key, {**row, "rewards": []})
        group["rewards"].append(row["reward"])
    return list(found.values())


@pytest.mark.parametrize("name", CURRICULA)
def test_what_is_recorded_is_what_the_curriculum_chose(
    name: str, sums: Path, tmp_path: Path
) -> None:
    """Its own class, given the recorded rewards, chooses the recorded problems."""
    config = configured(sums, tmp_path / "t", name)
    done = train(config, progress=QUIET)
    ids = done.history()["problem_id"].to_pylist()
    pool = [row["problem_id"] for row in _problems(tmp_path / "t")]
    assert set(ids) <= set(pool)
    steps = {row["step"]: row for row in done.steps.to_pylist()}
    assert list(steps) == list(range(6))
    for step, row in steps.items():
        of_step = [g for g in groups(done.history()) if g["step"] == step]
        signal = [g for g in of_step if len(set(g["rewards"])) > 1]
        trained = [g for g in of_step if g["trained"]]
        assert row["num_sampled"] == len(of_step)
        assert row["num_signal"] == len(signal)
        assert row["num_problems"] == len(trained)
        if not curriculum_named(name, 1).drops:
            assert len(trained) == len(of_step) == 3
        elif signal:
            assert {g["problem_id"] for g in trained} <= {g["problem_id"] for g in signal}
    seen: set[str] = set()
    for step, row in steps.items():
        seen |= {g["problem_id"] for g in groups(done.history()) if g["step"] == step}
        assert row["coverage"] == pytest.approx(len(seen) / len(pool))


def _problems(folder: Path) -> list[dict[str, Any]]:
    tables = [pa.parquet.read_table(p) for p in sorted((folder / "problems").glob("*.parquet"))]
    return pa.concat_tables(tables).to_pylist()


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("mopps", "greso")), "learnalign"],
)
def test_a_resumed_training_equals_an_undisturbed_one(
    name: str, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(configured(sums, tmp_path / "whole", name), progress=QUIET)
    collect, calls = native.collect_step, [0]

    def failing(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:  # in the second half of the second checkpoint's steps
            raise KeyboardInterrupt
        return collect(*arguments, **named)

    monkeypatch.setattr(native, "collect_step", failing)
    config = configured(sums, tmp_path / "parts", name)
    with pytest.raises(KeyboardInterrupt):
        train(config, progress=QUIET)
    assert (tmp_path / "parts" / "checkpoints" / "step-2" / "curriculum.json").is_file()
    parts = train(config, progress=QUIET)
    assert calls[0] > 4
    assert parts.history().equals(whole.history())
    for column in ("num_sampled", "num_signal", "coverage", "gradient_norm", "mean_reward"):
        assert parts.steps[column].equals(whole.steps[column])


@pytest.mark.parametrize("name", [pytest.param("order", marks=pytest.mark.slow), "dynamic"])
def test_a_budget_of_rollouts_ends_the_training(name: str, sums: Path, tmp_path: Path) -> None:
    """After the step that spends it, dropped groups included; also when it is resumed."""
    unlimited = train(configured(sums, tmp_path / "whole", name), progress=QUIET)
    size = len(groups(unlimited.history())[0]["rewards"])
    spent = np.cumsum(unlimited.steps["num_sampled"].to_numpy()) * size
    budget = int(spent[2]) - 1
    config = configured(sums, tmp_path / "t", name, **{"training.max_rollouts": budget})
    seen: list[int] = []
    done = train(config, progress=QUIET, after_step=lambda row, _: seen.append(row["step"]))
    assert done.history().num_rows == spent[2]
    assert seen == done.steps["step"].to_pylist() == [0, 1, 2]
    assert done.history().equals(unlimited.history().slice(0, int(spent[2])))
    again = train(config, progress=QUIET, after_step=lambda row, _: seen.append(row["step"]))
    assert again.steps.equals(done.steps)
    assert seen == [0, 1, 2]


def test_a_function_after_each_step_sees_the_model_of_that_step(sums: Path, tmp_path: Path) -> None:
    """Sampling from it changes nothing."""
    plain = train(configured(sums, tmp_path / "plain", "order"), progress=QUIET)
    norms: list[float] = []

    def after_step(row: dict[str, Any], model: Any) -> None:
        model(input_ids=torch.tensor([[5, 6, 7]]))
        norms.append(sum(float(p.detach().double().norm()) for p in model.parameters()))

    watched = train(
        configured(sums, tmp_path / "watched", "order"), progress=QUIET, after_step=after_step
    )
    assert watched.history().equals(plain.history())
    assert len(norms) == len(set(norms)) == 6


def test_estimates_are_recorded_before_the_step(sums: Path, tmp_path: Path) -> None:
    done = train(configured(sums, tmp_path / "t", "mopps"), progress=QUIET)
    counts: dict[str, tuple[float, float]] = {}
    for group in groups(done.history()):
        right, wrong = counts.get(group["problem_id"], (1.0, 1.0))  # Beta(1, 1)
        assert group["expected_success"] == pytest.approx(right / (right + wrong))
        reward, size = sum(group["rewards"]), len(group["rewards"])
        counts[group["problem_id"]] = (right + reward, wrong + size - reward)


def test_order_trains_as_before_there_were_curricula(sums: Path, tmp_path: Path) -> None:
    done = train(configured(sums, tmp_path / "t", "order"), progress=QUIET)
    history = done.history()
    assert pc.all(history["trained"]).as_py()
    assert history["expected_success"].null_count == history.num_rows
    plain = curriculum_named("order", len(_problems(tmp_path / "t")), seed=0)
    pool = [row["problem_id"] for row in _problems(tmp_path / "t")]
    expected = [[pool[i] for i in plain.next_batch(3)] for _ in range(6)]
    chosen = [[g["problem_id"] for g in groups(history) if g["step"] == s] for s in range(6)]
    assert chosen == expected


@pytest.mark.parametrize("kl_beta", [0.0, 0.04])
@pytest.mark.parametrize("parameters", ["full", "lora"])
def test_gradients_of_what_was_trained_are_observed(
    parameters: str, kl_beta: float, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step's rewards: one sketch for each trained problem with a signal.

    With a KL term the others have a gradient too, which says nothing of their rewards.
    """
    calls: list[tuple[str, list[int], Any]] = []

    class Spy(Order):
        uses_gradients = True

        def _update(self, indices: Any, *outcomes: Any) -> None:
            super()._update(indices, *outcomes)
            calls.append(("rewards", indices.tolist(), None))

        def _update_gradients(self, indices: Any, sketches: Any) -> None:
            calls.append(("gradients", indices.tolist(), sketches))

    monkeypatch.setitem(CURRICULA, "order", Spy)
    options = {"training.parameters": parameters, "training.kl_beta": kl_beta}
    done = train(configured(sums, tmp_path / "t", "order", **options), progress=QUIET)
    pool = [row["problem_id"] for row in _problems(tmp_path / "t")]
    steps = [place for place, (kind, *_) in enumerate(calls) if kind == "rewards"]
    assert len(steps) == 6
    for step, place in enumerate(steps):
        of_step = {g["problem_id"]: g for g in groups(done.history()) if g["step"] == step}
        chosen = calls[place][1]
        signal = [i for i in chosen if len(set(of_step[pool[i]]["rewards"])) > 1]
        if signal:
            kind, found, sketches = calls[place + 1]
            assert (kind, found) == ("gradients", signal)
            assert (np.abs(sketches).sum(axis=1) > 0).tolist() == [True] * len(signal)
    assert len({call[2].shape[1] for call in calls if call[0] == "gradients"}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training.trainer": "trl", "training.curriculum": "mopps"},
            r"(?s)with --trainer trl.*learnalign\.integrations\.trl\.CurriculumMixin",
        ),
        (
            {"training.curriculum": "mopps", "training.curriculum_options": {"discout": 0.5}},
            "the nearest is 'discount'",
        ),
        (
            {"training.curriculum": "learnalign", "training.curriculum_options": {"txet": False}},
            "the nearest is 'text'",
        ),
        ({"training.curriculum": "mapp", "training.curriculum_options": {"text": False}}, "'text'"),
        *(
            (
                {"training.curriculum": name, "training.curriculum_options": {option: 3}},
                f"(?s)curriculum_options.{option}.*{do}",
            )
            for name, option, do in (
                ("mopps", "seed", "use --seed"),
                ("mapp", "num_problems", "training.num_problems"),
                ("mapp", "num_rollouts", "use --num-rollouts"),
                ("learnalign", "features", "text=false"),
                ("mopps", "counts", "use --known-success"),
                ("greso", "name", "use --curriculum"),
            )
        ),
        *(
            (
                {"training.curriculum": "learnalign", "training.curriculum_options": {name: "no"}},
                f"(?s)curriculum_options.{name} = 'no'.*true or false",
            )
            for name in ("text", "gradients")
        ),
        (
            {"training.curriculum": "mopps", "training.curriculum_options": {"candidates": "x"}},
            "candidates = 'x'",
        ),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str, sums: Path, tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match=message):
        train(configure(sums, tmp_path / "t", **changes), progress=QUIET)


def test_rewards_that_are_no_rates(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = native._Sampling._sums

    def doubled(self: Any, rewards: list[list[float]]) -> Any:
        return sampled(self, [[2.0 * reward + 1.0 for reward in group] for group in rewards])

    monkeypatch.setattr(native._Sampling, "_sums", doubled)
    with pytest.raises(LearnAlignError, match=r"the curriculum mapp got a reward of [13]\.0"):
        train(configured(sums, tmp_path / "a", "mapp"), progress=QUIET)
    done = train(
        configured(sums, tmp_path / "b", "dynamic", **{"training.steps": 1}), progress=QUIET
    )
    assert np.isfinite(done.steps["gradient_norm"].to_pylist()).all()
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["stages"]["steps"]["complete"]


def test_a_selections_success_rates_are_the_prior(sums: Path, tmp_path: Path) -> None:
    selected = run(configure(sums, tmp_path / "s"), progress=QUIET)
    config = configured(
        sums, tmp_path / "t", "learnalign",
        **{"data.paths": (str(selected.path),), "training.subset": "all", "training.steps": 1},
    )  # fmt: skip
    done = train(config, progress=QUIET)
    expected = {g["problem_id"]: g["expected_success"] for g in groups(done.history())}
    rates = {row["problem_id"]: row["success_rate"] for row in selected.scores.to_pylist()}
    assert set(expected) <= set(rates)
    for one in expected:
        for other in expected:
            if rates[one] < rates[other]:
                assert expected[one] < expected[other]


@pytest.mark.parametrize("name", ["order", "dynamic", "greso", "learnalign"])
def test_passes_may_keep_the_files_order(name: str, sums: Path, tmp_path: Path) -> None:
    problems = pa.table({"problem_id": ["a", "b", "c", "d"]})
    more = {"training.curriculum_options": {"text": False}} if name == "learnalign" else {}
    config = configured(sums, tmp_path / "t", name, **{"training.shuffled": False} | more)
    batch = open_curriculum(config, problems).next_batch(3).tolist()
    assert batch == ([0, 1, 2] if name != "learnalign" else sorted(batch))  # it may skip some


def test_known_options_are_those_that_a_training_has(sums: Path, tmp_path: Path) -> None:
    options = {"training.curriculum": "learnalign", "training.curriculum_options": {"zzz": 1}}
    with pytest.raises(LearnAlignError, match="known are") as found:
        train(configured(sums, tmp_path / "t", **{"name": "learnalign"} | options), progress=QUIET)
    assert "'text'" in str(found.value)
    for reserved in ("features", "counts", "num_rollouts", "seed", "num_problems"):
        assert f"'{reserved}'" not in str(found.value)


@pytest.mark.parametrize("name", [pytest.param("mopps", marks=pytest.mark.slow), "mapp"])
def test_known_success_rates_are_the_prior(name: str, tmp_path: Path, sums: Path) -> None:
    """The first estimates are those of the rows' column, as eight rollouts."""
    train(configured(sums, tmp_path / "plain", "order"), progress=QUIET)
    rows = [json.loads(row["row"]) for row in _problems(tmp_path / "plain")]
    for number, row in enumerate(rows):
        row["info"] = {"rate": None if number == 0 else round(number / len(rows), 3)}
    known = tmp_path / "known.jsonl"
    known.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = {"data.paths": (str(known),), "training.known_success": "info.rate"}
    done = train(configured(sums, tmp_path / "t", name, **options), progress=QUIET)
    rates = {
        row["problem_id"]: json.loads(row["row"])["info"]["rate"]
        for row in _problems(tmp_path / "t")
    }
    first = [g for g in groups(done.history()) if g["step"] == 0]
    for group in first:
        rate = rates[group["problem_id"]]
        expected = 0.5 if rate is None else (1 + 8 * rate) / 10
        assert group["expected_success"] == pytest.approx(expected)
    for change, message in (
        ({"training.known_success": "rate"}, "empty in all rows"),
        ({"training.curriculum": "greso"}, "with --curriculum greso"),
        ({"training.known_success": "answer"}, "a success rate from 0 to 1"),
    ):
        with pytest.raises(LearnAlignError, match=message):
            train(configured(sums, tmp_path / "u", "mapp", **options | change), progress=QUIET)


def test_chances_of_noise_are_recorded(
    sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the problems, before the step; none until the curriculum has any."""
    calls = [0]

    def chances(curriculum: Any) -> Any:
        calls[0] += 1
        return None if calls[0] < 3 else np.arange(curriculum.num_problems) / 10

    monkeypatch.setattr(CURRICULA["learnalign"], "noise_chances", chances)
    done = train(configured(sums, tmp_path / "t", "learnalign"), progress=QUIET)
    place = {row["problem_id"]: i for i, row in enumerate(_problems(tmp_path / "t"))}
    for row in done.history().to_pylist():
        expected = None if row["step"] < 2 else place[row["problem_id"]] / 10
        assert row["noise"] == expected
