"""Staged RL: each stage begins where the one before it ended, also after kills."""

import json
import os
import random
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from helpers.command_line import PROGRAM
from helpers.sums_run import QUIET
from helpers.sums_run import configure_training as configure
from learnalign.reporting.stages import problem_states, stages_figure
from learnalign.tables import SCORES
from learnalign.workflows.staged import run_staged, stage_problems
from workflows.test_train import assert_same_history

STAGED = {
    "stages__count": 2,
    "training__epochs": 1.0,
    "training__problems_per_step": 2,
    "training__save_every": 1,
    "selection__budget": 4,
    "stages__easy_share": 0.25,
    "data__paths": ("reasoning-gym:chain_sum?size=10&seed=2&max_terms=2&max_digits=1",),
}


@pytest.fixture(scope="module")
def undisturbed(sums, tmp_path_factory):
    out = tmp_path_factory.mktemp("stages") / "s"
    return run_staged(configure(sums, out, **STAGED), progress=QUIET), out


def test_each_stage_chooses_with_the_policy_that_came_out(undisturbed):
    stages, out = undisturbed
    first, second = stages
    assert [stage.number for stage in stages] == [1, 2]
    config = yaml.safe_load((second.selection / "config.yaml").read_text())
    assert config["model"]["path"] == str(first.model)
    assert (first.num_kept, first.num_reused) == (None, 0)
    # The problems of the last steps were sampled moments ago: they are taken over.
    trained = pq.read_table(first.training / "history")
    assert second.num_reused == len(set(trained["problem_id"].to_pylist())) > 0
    reused = {(row["problem_id"], row["sample"]): row["completion"] for row in trained.to_pylist()}
    made = pq.read_table(second.selection / "rollouts").to_pylist()
    same = [
        reused[key] == row["completion"]
        for row in made
        if (key := (row["problem_id"], row["sample"])) in reused
    ]
    assert len(same) == 4 * second.num_reused
    assert all(same)
    assert json.loads((out / "stages.json").read_text())[1]["num_reused"] == second.num_reused
    assert "parcats" in (out / "stages.html").read_text()


@pytest.mark.slow
def test_killed_between_any_two_steps_equals_undisturbed(undisturbed, sums, tmp_path):
    stages, there = undisturbed
    out, file = tmp_path / "killed", tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(configure(sums, out, **STAGED).model_dump(mode="json")))
    command = [*PROGRAM, "stages", "--config", str(file), "--out", str(out)]
    rng, kills = random.Random(5), 0
    for wanted in (
        "stage-1/selection/rollouts",
        "stage-1/problems.txt",
        "stage-1/training/steps/part-00000.parquet",
        "stage-2/selection/manifest.json",
        "stage-2/training/checkpoints/step-1",
    ):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (out / wanted).exists():
            time.sleep(0.002)
        time.sleep(rng.random() * 0.2)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 4
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "Stages" in done.stdout
    for stage in stages:
        here = out / f"stage-{stage.number}"
        assert_same_history(here / "training", stage.training)
        theirs = there / f"stage-{stage.number}" / "problems.txt"
        assert (here / "problems.txt").read_text() == theirs.read_text()


def scores(*rows):
    keys = ("problem_id", "num_correct", "selected")
    full = [
        dict(zip(keys, row, strict=True), num_rollouts=4, rank=i) for i, row in enumerate(rows, 1)
    ]
    return pa.Table.from_pylist(full, schema=SCORES)


TABLE = scores(
    ("a", 2, True), ("b", 1, True), ("c", 3, True), ("d", 2, True),
    ("e", 4, False), ("f", 4, False), ("g", 0, False), ("h", 1, False),
)  # fmt: skip


@pytest.mark.parametrize(
    ("share", "kept", "easy"), [(0.0, 4, 0), (0.25, 3, 1), (0.5, 2, 2), (0.9, 2, 2)]
)
def test_easy_problems_take_the_place_of_the_lowest_scores(share, kept, easy):
    names, count = stage_problems(TABLE, share, seed=0)
    assert names[:kept] == list("abcd")[:kept]
    assert count == easy == len(set(names) & {"e", "f"})
    assert len(names) == len(set(names)) == 4
    drawn = {stage_problems(TABLE, 0.25, seed=seed)[0][-1] for seed in range(20)}
    assert drawn == {"e", "f"}


def test_picture_says_where_each_problem_is():
    states = problem_states(TABLE, ["a", "b", "e"])
    assert states == {
        "a": "chosen", "b": "chosen", "c": "has a signal", "d": "has a signal",
        "e": "solved, kept", "f": "solved", "g": "never solved", "h": "has a signal",
    }  # fmt: skip
    later = scores(("a", 4, False), ("g", 1, True))
    figure = stages_figure([TABLE, later], [["a", "b", "e"], ["g"]])
    first, second = figure.data[0].dimensions
    names = sorted("abcdefgh")
    assert dict(zip(names, first["values"], strict=True)) == states
    assert dict(zip(names, second["values"], strict=True))["a"] == "solved"
    assert second["values"].count("left out") == 6
