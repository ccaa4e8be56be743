"""Rollouts in rounds: the full budget's own samples, fewer of them, however often stopped."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import learnalign
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.rollouts.adaptive import plan_next_round
from learnalign.runs.folder import RunFolder
from learnalign.selecting.order import random_keys
from learnalign.terminal.progress import Progress
from learnalign.workflows.select import run

COUNT, GROUP, BUDGET = 60, 8, 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Problems and their recorded rollouts, right or wrong by chances of all kinds."""
    folder, rng = tmp_path_factory.mktemp("rounds"), np.random.default_rng(1)
    chances = rng.beta(0.3, 0.5, COUNT)
    problems = [{"id": f"p{i}", "question": f"Problem {i}?", "answer": "4"} for i in range(COUNT)]
    made = [
        {"id": f"p{i}", "completion": "4" if right else "5"}
        for i, chance in enumerate(chances)
        for right in rng.random(GROUP) < chance
    ]
    made[3]["completion"] = "4 "  # white space is the verifier's business
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, problems)))
    (folder / "rollouts.jsonl").write_text("\n".join(map(json.dumps, made)))
    return folder / "pool.jsonl", folder / "rollouts.jsonl"


def _options(data: tuple[Path, Path], sums: Path, out: Path, **more: Any) -> dict[str, Any]:
    return {
        "model.path": str(sums),
        "data.paths": (str(data[0]),),
        "selection.budget": BUDGET,
        "run.out": str(out),
        "rollouts.engine": "recorded",
        "rollouts.recorded": (data[1],),
        "rollouts.num_rollouts": GROUP,
        "rollouts.spend": "auto",
        "selection.method": "learnability",
        "selection.num_bootstrap": 0,
        "verifier.kind": "text",
        "verifier.workers": 1,
        "run.shard_size": 25,
    } | {key.replace("__", "."): value for key, value in more.items()}


def _run(data: tuple[Path, Path], sums: Path, out: Path, **more: Any) -> learnalign.Selection:
    config = load_config(overrides=_options(data, sums, out, **more))
    return run(config, progress=Progress("none"))


@pytest.fixture(scope="module")
def both(
    data: tuple[Path, Path], sums: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[learnalign.Selection, learnalign.Selection]:
    out = tmp_path_factory.mktemp("both")
    full = _run(data, sums, out / "full", rollouts__spend="full")
    return full, _run(data, sums, out / "auto")


def _rows(selection: learnalign.Selection, table: str) -> dict[tuple[str, int], dict[str, Any]]:
    rows = RunFolder(selection.path).table(table).to_pylist()
    return {(row["problem_id"], row["sample"]): row for row in rows}


def test_its_samples_are_the_full_budgets_first_ones(
    both: tuple[learnalign.Selection, learnalign.Selection],
) -> None:
    for table in ("rollouts", "verdicts"):
        full, auto = (_rows(selection, table) for selection in both)
        assert len(auto) < 0.9 * len(full)
        assert all(full[key] == row for key, row in auto.items())
        samples: dict[str, list[int]] = {}
        for name, sample in auto:
            samples.setdefault(name, []).append(sample)
        assert len(samples) == COUNT
        assert all(found == list(range(len(found))) for found in samples.values())
        assert {len(found) for found in samples.values()} <= {2, 4, 6, 8}
        assert list(samples) == RunFolder(both[1].path).table("problems")["problem_id"].to_pylist()


def test_who_was_sampled_on_is_what_the_counts_decide(
    both: tuple[learnalign.Selection, learnalign.Selection],
) -> None:
    """Replayed from the full budget's verdicts, without the run folder's own bookkeeping."""
    rewards: dict[str, list[float]] = {}
    for (name, _), row in sorted(_rows(both[0], "verdicts").items()):
        rewards.setdefault(name, []).append(row["reward"])
    names = sorted(rewards)
    counts = dict.fromkeys(names, 2)
    loss = 0.0
    for done in (2, 4, 6):
        found = plan_next_round(
            [int(sum(rewards[n][: counts[n]])) for n in names],
            [counts[n] for n in names],
            [counts[n] == done for n in names],
            done=done,
            num_rollouts=GROUP,
            count=BUDGET,
            error=0.1,
            ties=random_keys(names, 0),
        )
        loss = found.loss
        for name, goes in zip(names, found.active.tolist(), strict=True):
            counts[name] += 2 if goes else 0
    scores = both[1].scores
    made = dict(
        zip(scores["problem_id"].to_pylist(), scores["num_rollouts"].to_pylist(), strict=True)
    )
    assert made == counts
    spending = both[1].summary["spending"]
    assert spending == {
        "rollouts": sum(counts.values()),
        "full_budget": COUNT * GROUP,
        "expected_loss": round(loss, 4),
    }
    assert both[0].summary["spending"] is None


def test_another_budget_needs_new_rounds_but_the_first(
    both: tuple[learnalign.Selection, learnalign.Selection],
    data: tuple[Path, Path],
    sums: Path,
) -> None:
    out = both[1].path
    before = RunFolder(out).manifest.stages["round-1"]
    with pytest.raises(LearnAlignError, match=r"round-2.*selection.budget was 12, is now 5"):
        _run(data, sums, out, selection__budget=5)
    config = load_config(overrides=_options(data, sums, out, selection__budget=5))
    few = run(config, progress=Progress("none"), redo="round-2")
    assert RunFolder(out).manifest.stages["round-1"] == before
    assert few.summary["num_selected"] == 5
    config = load_config(overrides=_options(data, sums, out))
    again = run(config, progress=Progress("none"), redo="round-2")
    assert again.scores == both[1].scores


@pytest.mark.parametrize(
    "more",
    [{"selection__method": "band"}, {"selection__per_source": True}, {"selection__budget": None}],
)
def test_where_the_ranking_is_not_foretold_no_signal_stops(
    more: dict[str, Any], data: tuple[Path, Path], sums: Path, tmp_path: Path
) -> None:
    table = _run(data, sums, tmp_path / "run", **more).scores
    signal = pc.greater(table["learnability"], 0.0)
    assert set(table.filter(signal)["num_rollouts"].to_pylist()) == {GROUP}
    assert min(table.filter(pc.invert(signal))["num_rollouts"].to_pylist()) < GROUP


def test_rewards_between_0_and_1_stop_nothing(
    data: tuple[Path, Path], sums: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in data[1].read_text().splitlines()]
    graded = tmp_path / "graded.jsonl"
    given = (json.dumps(row | {"reward": (i % 3) / 4}) for i, row in enumerate(rows))
    graded.write_text("\n".join(given))
    found = _run((data[0], graded), sums, tmp_path / "run", verifier__kind="auto")
    assert set(found.scores["num_rollouts"].to_pylist()) == {GROUP}
    assert found.summary["spending"]["expected_loss"] == 0.0


STOPPED = """
import os, signal, sys
from learnalign.pipeline import shard
from learnalign.config.load import load_config
from learnalign.workflows.select import run
from learnalign.terminal.progress import Progress
from pathlib import Path
import json

left, put = int(sys.argv[2]), shard.RunFolder.put_shard

def killed(self, stage, index, table, **more):
    global left
    if stage.startswith("round-"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return put(self, stage, index, table, **more)

shard.RunFolder.put_shard = killed
run(load_config(Path(sys.argv[1])), progress=Progress("none"))
"""


@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_killed_in_a_round(
    shards: int,
    both: tuple[learnalign.Selection, learnalign.Selection],
    data: tuple[Path, Path],
    sums: Path,
    tmp_path: Path,
) -> None:
    config = load_config(overrides=_options(data, sums, tmp_path / "run"))
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config.model_dump(mode="json")))
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(file), str(shards)], timeout=120, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = run(config, progress=Progress("none"))
    assert again.scores == both[1].scores
    assert _rows(again, "rollouts") == _rows(both[1], "rollouts")
