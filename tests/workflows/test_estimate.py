"""Dry runs: every count held against the work that the same options then make."""

import json

import pytest

from helpers.sums_run import QUIET
from helpers.sums_run import configure_training as configure
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.workflows.estimate import dry_run, dry_run_evaluation, estimate
from learnalign.workflows.evaluate import evaluate
from learnalign.workflows.select import run

BENCHMARK = "reasoning-gym:chain_sum?size=4&seed=9&max_terms=2&max_digits=1"


def test_a_selections_plan_is_what_it_does(sums, tmp_path):
    config = configure(
        sums,
        tmp_path / "s",
        selection__warmup=4,
        gradients__kl_beta=0.04,
        training__parameters="lora",
        training__epochs=1.0,
    )
    work = json.loads(dry_run(config, as_json=True))["work"]
    assert not (tmp_path / "s").exists()
    run(config, progress=QUIET)
    warm = RunFolder(tmp_path / "s" / "warmup")
    history = warm.table("history")
    assert work["warmup"]["problems"] == len(set(history["problem_id"].to_pylist())) == 4
    assert work["warmup"]["steps"] == warm.table("steps").num_rows == 2
    assert work["warmup"]["rollouts"] == history.num_rows
    folder = RunFolder(tmp_path / "s")
    assert work["problems"] == folder.table("problems").num_rows
    assert work["rollouts"] == folder.table("rollouts").num_rows
    assert "references" in folder.manifest.stages
    # The warm-up stands by itself, before what is done with its policy.
    lines = dry_run(config).partition("estimated work:\n")[2].splitlines()
    assert lines[:2] == ["  warmup:", "    problems: 4"]
    assert any(line.startswith("    sampling time at most: ") for line in lines)
    assert "  problems: 7" in lines


def test_the_references_pass_counts_as_one_of_three(smollm2, tmp_path, monkeypatch):
    """A gradient is a forward and a backward pass, which takes twice as long."""
    monkeypatch.setattr("learnalign.workflows.estimate._speed", lambda config, purpose: 1e7)
    changes = {"gradients__kl_beta": 0.04, "gradients__reference": "other"}
    work = estimate(configure(smollm2, tmp_path, **changes))
    share = work["reference_minutes_at_most"] / work["gradient_minutes_at_most"]
    assert share == pytest.approx(1 / 3, rel=1e-3)
    without = estimate(configure(smollm2, tmp_path))
    assert "reference_minutes_at_most" not in without
    assert "warmup" not in without
    rewards = configure(smollm2, tmp_path, selection__method="learnability", **changes)
    assert "reference_minutes_at_most" not in estimate(rewards)
    with pytest.raises(LearnAlignError, match="KL term of a policy to itself is zero"):
        estimate(configure(smollm2, tmp_path, gradients__kl_beta=0.04))


def test_an_evaluations_plan_is_what_it_does(sums, tmp_path):
    config = configure(sums, tmp_path / "e", selection__budget=1000)
    told = dry_run_evaluation(config, [BENCHMARK], samples=3, greedy=True, as_json=True)
    work = json.loads(told)["work"]["chain_sum"]
    assert not (tmp_path / "e").exists()
    done = evaluate(config, [BENCHMARK], samples=3, progress=QUIET)
    assert list(work) == [result.mode for result in done.results] == ["pass@1", "mean@3"]
    for result in done.results:
        part = work[result.mode]
        made = RunFolder(tmp_path / "e" / "chain_sum" / result.mode.replace("@", "-"))
        assert part["problems"] == result.accuracy.num_problems == 4
        assert part["rollouts"] == made.table("rollouts").num_rows
        assert part["response_tokens_at_most"] == part["rollouts"] * 5
        assert part["rollout_minutes_at_most"] >= 0.0
    with pytest.raises(LearnAlignError, match="the nearest is 'gsm8k'"):
        dry_run_evaluation(config, ["gsm9k"], samples=0, greedy=True)
