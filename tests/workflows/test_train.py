"""Training: histories, resuming, LoRA, warm-up, subsets of a selection."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from helpers.command_line import PROGRAM, call
from helpers.sums_run import OPTIONS, QUIET, TRAINING
from helpers.sums_run import configure_training as configure
from learnalign.errors import LearnAlignError
from learnalign.problems.subsets import Subset, write_subset
from learnalign.training.history import success_history
from learnalign.workflows.estimate import estimate_training
from learnalign.workflows.select import run
from learnalign.workflows.subsets import chosen_ids
from learnalign.workflows.train import train
from learnalign.workflows.warmup import warmup_config

#: What of a step does not depend on the clock.
FIGURES = ["step", "num_problems", "num_signal", "mean_reward", "mean_tokens", "gradient_norm"]


def assert_same_history(one: Path, other: Path) -> None:
    for stage in ("history", "steps"):
        tables = [
            pa.concat_tables(map(pq.read_table, sorted((out / stage).glob("part-*.parquet"))))
            for out in (one, other)
        ]
        if stage == "steps":
            tables = [table.select(FIGURES) for table in tables]
        assert tables[0].equals(tables[1]), stage


@pytest.fixture(scope="module")
def undisturbed(sums: Path, tmp_path_factory: pytest.TempPathFactory):
    return train(configure(sums, tmp_path_factory.mktemp("train") / "t"), progress=QUIET)


def test_history_has_every_problem_and_every_rollout(undisturbed) -> None:
    history, steps = undisturbed.history(), undisturbed.steps
    assert steps["step"].to_pylist() == list(range(5))
    assert history.num_rows == 5 * 3 * 4
    rows = success_history(history).to_pylist()
    seen = [row["problem_id"] for row in rows]
    assert sorted(set(map(seen.count, set(seen)))) in ([2], [2, 3])
    assert len(set(seen)) == 7
    by_hand: dict[tuple[str, int], list[float]] = {}
    for row in history.to_pylist():
        by_hand.setdefault((row["problem_id"], row["step"]), []).append(row["reward"])
    for row in rows:
        rewards = by_hand[row["problem_id"], row["step"]]
        assert (row["success_rate"], row["num_rollouts"]) == (sum(rewards) / 4, 4)
    for step in steps.to_pylist():
        mine = [r for r in history.to_pylist() if r["step"] == step["step"]]
        assert step["mean_reward"] == pytest.approx(sum(r["reward"] for r in mine) / 12)
        assert step["learning_rate"] == 1e-5
        assert (step["num_signal"] > 0) == (step["gradient_norm"] > 0)
    assert pc.sum(steps["num_signal"]).as_py() > 0
    # A problem that comes back is sampled anew.
    texts: dict[tuple[str, int], list[str]] = {}
    for row in history.to_pylist():
        texts.setdefault((row["problem_id"], row["step"]), []).append(row["completion"])
    groups = [[texts[key] for key in texts if key[0] == name] for name in set(seen)]
    assert any(group[0] != group[1] for group in groups)


@pytest.mark.slow
def test_the_real_model_learns(smollm2, tmp_path) -> None:
    done = train(configure(smollm2, tmp_path / "t", training__steps=1), progress=QUIET)
    assert done.steps["num_signal"].to_pylist()[0] > 0
    assert_moved(smollm2, done.model, at_most=1e-5)


def assert_moved(before: Path, after: Path, *, at_most: float) -> None:
    """Nearly all of a model's tensors have moved, and none further than AdamW's steps allow."""
    weights, trained = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert weights.keys() == trained.keys()
    moved = [float((trained[n].float() - weights[n].float()).abs().max()) for n in weights]
    assert 0 < max(moved) < at_most * 1.5
    assert sum(value > 0 for value in moved) > 0.9 * len(moved)


def test_the_model_has_learned_and_can_be_selected_with(undisturbed, sums, tmp_path) -> None:
    assert_moved(sums, undisturbed.model, at_most=5e-5)  # five steps of the learning rate
    more = TRAINING["data.paths"][0].replace("size=7", "size=16")
    config = configure(undisturbed.model, tmp_path / "x", data__paths=(more,))
    kept = run(config, progress=QUIET)
    assert len(kept.problem_ids) == 3


@pytest.mark.slow  # kills at every kind of file operation are in test_kills.py
def test_killed_again_and_again_equals_undisturbed(undisturbed, sums, tmp_path) -> None:
    out, config = tmp_path / "killed", tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(configure(sums, out).model_dump(mode="json")))
    command = [*PROGRAM, "train", "--config", str(config), "--out", str(out)]
    rng, kills = random.Random(1), 0
    for wanted in ("checkpoints/.step-2.tmp", "steps/part-00000.parquet"):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (out / wanted).exists():
            time.sleep(0.002)
        time.sleep(rng.random() * 0.02)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "reward" in done.stdout
    assert_same_history(out, undisturbed.path)
    ours, theirs = (load_file(p / "model" / "model.safetensors") for p in (out, undisturbed.path))
    assert all(ours[name].equal(theirs[name]) for name in theirs)
    assert not (out / "checkpoints").exists()


def test_a_finished_training_stands_and_other_options_are_refused(
    undisturbed, sums, tmp_path
) -> None:
    out = undisturbed.path
    stamp = (out / "model" / "model.safetensors").stat().st_mtime_ns
    again = train(configure(sums, out), progress=QUIET)
    assert again.steps.equals(undisturbed.steps)
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(LearnAlignError, match=r"training\.learning_rate was 1e-05, is now 0\.001"):
        train(configure(sums, out, training__learning_rate=1e-3), progress=QUIET)
    assert yaml.safe_load((out / "config.yaml").read_text())["training"]["learning_rate"] == 1e-5
    with pytest.raises(LearnAlignError, match="got --redo rollouts"):
        train(configure(sums, out), progress=QUIET, redo="rollouts")


@pytest.fixture(scope="module")
def selection(sums: Path, tmp_path_factory: pytest.TempPathFactory):
    return run(configure(sums, tmp_path_factory.mktemp("select") / "s"), progress=QUIET)


def test_training_on_a_selection_takes_its_problems_as_they_were_scored(
    selection, sums, tmp_path
) -> None:
    config = configure(
        sums,
        tmp_path / "t",
        data__paths=(str(selection.path),),
        training__steps=1,
        training__shuffled=False,
        training__trainer="native",
    )
    done = train(config, progress=QUIET)
    assert done.history()["problem_id"].to_pylist()[::4] == selection.problem_ids
    prompts = {
        row["problem_id"]: row["prompt_ids"]
        for row in pq.read_table(selection.path / "problems" / "part-00000.parquet").to_pylist()
    }
    for row in pq.read_table(done.path / "problems" / "part-00000.parquet").to_pylist():
        assert row["prompt_ids"] == prompts[row["problem_id"]]


def test_subsets_of_a_selection(selection, tmp_path) -> None:
    from learnalign.workflows.training_problems import selection_folder

    folder = selection_folder((str(selection.path),))
    everything = chosen_ids(folder, "all", seed=0)
    drawn = chosen_ids(folder, "random", seed=0)
    assert chosen_ids(folder, "selected", seed=0) == selection.problem_ids
    assert len(everything) == 7
    assert len(set(drawn)) == 3
    assert set(drawn) <= set(everything)
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(everything[2:4]))
    assert chosen_ids(folder, str(ids), seed=0) == everything[2:4]
    ids.write_text("nobody\n")
    with pytest.raises(LearnAlignError, match=r"1 problems that are not in .*, such as 'nobody'"):
        chosen_ids(folder, str(ids), seed=0)
    with pytest.raises(LearnAlignError, match="got --subset best"):
        chosen_ids(folder, "best", seed=0)


def test_a_subset_made_by_hand_is_named_in_the_manifest(selection, sums, tmp_path) -> None:
    names = selection.scores["problem_id"].to_pylist()[1:3]
    made = Subset(names, "by hand", "r.success_rate=0.5..")
    path = write_subset(tmp_path, "mine", made, str(selection.path))
    config = configure(
        sums,
        tmp_path / "t",
        data__paths=(str(selection.path),),
        training__subset=str(path),
        training__problems_per_step=2,
        training__steps=1,
        training__trainer="native",
    )
    done = train(config, progress=QUIET)
    assert set(done.history()["problem_id"].to_pylist()) == set(names)
    options = json.loads((done.path / "manifest.json").read_text())["stages"]["problems"]["options"]
    assert options["training.subset"] == {"made": "by hand", "view": "r.success_rate=0.5.."}


@pytest.mark.parametrize("subset", ["random", "all", "ids.txt"])
def test_data_have_no_subsets(subset, sums, tmp_path) -> None:
    config = configure(sums, tmp_path / "t", training__subset=subset)
    with pytest.raises(LearnAlignError, match=f"got --subset {subset} for reasoning-gym"):
        train(config, progress=QUIET)
    with pytest.raises(LearnAlignError, match=f"got --subset {subset} for reasoning-gym"):
        estimate_training(config)
    assert not (tmp_path / "t" / "problems").exists()


def test_a_warm_up_leaves_the_final_trainings_subset_alone(selection, sums, tmp_path) -> None:
    """One file of options for every verb may name it."""
    config = configure(sums, tmp_path / "w", training__subset="random")
    warm = warmup_config(config, 2)
    assert (warm.training.subset, warm.training.num_problems) == ("selected", 2)
    assert estimate_training(warm)["problems"] == 2
    # On a selection it is what it is anywhere else.
    paths = (str(selection.path),)
    config = configure(sums, tmp_path / "w", training__subset="all", data__paths=paths)
    assert estimate_training(warmup_config(config, 5))["problems"] == 5


def test_lora_warm_up_within_a_selection(sums, tmp_path) -> None:
    """The warm policy is sampled, the KL term pulls towards the one before it."""
    out = tmp_path / "warm"
    config = configure(
        sums,
        out,
        selection__warmup=5,
        training__parameters="lora",
        training__learning_rate=3e-4,
        training__epochs=1.0,
        gradients__parameters="lora",
        gradients__kl_beta=0.04,
        data__limit=7,
    )
    kept = run(config, progress=QUIET)
    assert len(kept.problem_ids) == 3
    assert (out / "warmup" / "adapter" / "adapter_model.safetensors").is_file()
    warm = pq.read_table(out / "warmup" / "history" / "part-00000.parquet")
    assert len(set(warm["problem_id"].to_pylist())) == 5
    # The warm policy's own log-probabilities are not the reference's.
    made = pq.read_table(out / "rollouts" / "part-00000.parquet").to_pylist()
    other = pq.read_table(out / "references" / "part-00000.parquet").to_pylist()
    gaps = [sum(b["logprobs"]) - sum(a["logprobs"]) for a, b in zip(made, other, strict=True)]
    assert all(len(a["token_ids"]) == len(b["logprobs"]) for a, b in zip(made, other, strict=True))
    assert 1e-3 < sum(map(abs, gaps)) / len(gaps) < 5.0
    # What was asked for is what the folder replays.
    assert yaml.safe_load((out / "config.yaml").read_text())["selection"]["warmup"] == 5
    again = run(config, progress=QUIET)
    assert again.scores.equals(kept.scores)
    # The same warm policy, gradients of the base layers.
    base = configure(
        sums,
        tmp_path / "base",
        model__adapter=out / "warmup" / "adapter",
        gradients__kl_beta=0.04,
    )
    assert len(run(base, progress=QUIET).problem_ids) == 3


def test_a_kl_term_needs_a_reference(sums, tmp_path) -> None:
    with pytest.raises(LearnAlignError, match="policy to itself is zero"):
        run(configure(sums, tmp_path / "x", gradients__kl_beta=0.04), progress=QUIET)


def test_training_that_comes_apart_says_so(sums, tmp_path, monkeypatch) -> None:
    """Weights that hold NaN are seen before the next step, and what was saved stands."""
    from learnalign.training.learner import Learner

    step = Learner.step

    def poisoned(self, *arguments):
        done = step(self, *arguments)
        if self.done == 3:
            self.masters.named["model.embed_tokens.weight"].data.fill_(float("nan"))
            self.masters.write_back()
        return done

    monkeypatch.setattr(Learner, "step", poisoned)
    with pytest.raises(LearnAlignError, match="training diverged before step 3"):
        train(configure(sums, tmp_path / "x"), progress=QUIET)
    assert (tmp_path / "x" / "checkpoints" / "step-2").is_dir()


def test_from_the_command_line(selection, sums, tmp_path) -> None:
    """A selection's options for sampling hold; the summary is JSON."""
    command = ["train", str(sums), str(selection.path), "--steps", "1", "--json"]
    command += ["--problems-per-step", "2", "--kl-beta", "0.04", "--out", str(tmp_path / "t")]
    done = call(*command)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["steps"] == 1
    assert summary["last_kl"] == pytest.approx(0.0, abs=1e-3)
    table = pq.read_table(tmp_path / "t" / "history" / "part-00000.parquet")
    assert table.num_rows == 2 * 4
    assert max(map(len, table["token_ids"].to_pylist())) <= 5


def test_warm_up_from_the_command_line(sums, tmp_path) -> None:
    data = TRAINING["data.paths"][0]
    command = ["warmup", str(sums), data, "--problems", "4", "--steps", "2"]
    command += ["--parameters", "lora", "--learning-rate", "1e-4", "--problems-per-step", "2"]
    command += ["--assistant-prefix", OPTIONS["prompt.assistant_prefix"], "--verifier", "number"]
    command += ["--max-tokens", "5", "--num-rollouts", "4", "--device", "cpu"]
    command += ["--out", str(tmp_path / "w")]
    plan = call(*command, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "steps: 2" in plan.stdout
    assert not (tmp_path / "w").exists()
    done = call(*command)
    assert done.returncode == 0, done.stderr
    # The line to go on with names the policy that came out.
    assert f"learnalign select {sums} --adapter {tmp_path / 'w' / 'adapter'}" in done.stdout
    history = pq.read_table(tmp_path / "w" / "history" / "part-00000.parquet")
    assert len(set(history["problem_id"].to_pylist())) == 4
