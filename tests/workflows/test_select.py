"""The whole way: the folder's contract, killed and resumed, other options, what leaves the pool."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import learnalign
from helpers.command_line import PROGRAM
from helpers.sums_run import configure, select
from learnalign.errors import LearnAlignError
from learnalign.runs.folder import RunFolder
from learnalign.storage.sketch_column import from_bytes


def _tables(out: Path, stages: tuple[str, ...] = ("problems", "rollouts", "verdicts", "gradients")):
    found = {
        s: pa.concat_tables(map(pq.read_table, sorted((out / s).glob("*.parquet")))) for s in stages
    }
    return found | {"scores": pq.read_table(out / "scores.parquet")}


@pytest.mark.parametrize("model", [pytest.param("real_run", marks=pytest.mark.slow), "finished"])
def test_the_folder_keeps_its_contract(model: str, request: pytest.FixtureRequest) -> None:
    out: Path = request.getfixturevalue(model)
    for name in ("scores.parquet", "manifest.json", "config.yaml", "report.html"):
        assert (out / name).stat().st_size > 100
    tables = _tables(out)
    scores = tables["scores"].to_pylist()
    gradients = {row["problem_id"]: row for row in tables["gradients"].to_pylist()}
    assert [row["rank"] for row in scores] == list(range(1, len(scores) + 1))
    assert [row["selected"] for row in scores] == [True] * 5 + [False] * (len(scores) - 5)
    # The score from its definition: the mean over all pairs of V_i V_j cos(i, j).
    units = {}
    for name, row in gradients.items():
        if row["sketch"] is not None:
            vector = from_bytes(row["sketch"]).astype(float)
            units[name] = vector / np.linalg.norm(vector)
    value = {row["problem_id"]: row["learnability"] for row in scores}
    assert 2 <= len(units) == sum(v > 0 for v in value.values())
    for row in scores:
        name, rate = row["problem_id"], row["num_correct"] / row["num_rollouts"]
        assert row["success_rate"] == pytest.approx(rate)
        assert row["learnability"] == pytest.approx(rate * (1 - rate))
        pairs = [value[j] * (units[name] @ units[j]) for j in units] if name in units else []
        assert row["alignment"] == pytest.approx(sum(pairs) / len(scores), abs=1e-7)
        assert row["score"] == pytest.approx(row["learnability"] * row["alignment"], abs=1e-12)
        assert row["gradient_norm"] == gradients[name]["gradient_norm"]


@pytest.mark.slow  # kills at every kind of file operation are in test_kills.py
def test_killed_again_and_again_equals_undisturbed(
    finished: Path, sums: Path, tmp_path: Path
) -> None:
    out, config = tmp_path / "killed", tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(configure(sums, out).model_dump(mode="json")))
    command = [*PROGRAM, "select", "--config", str(config)]
    # Each process is let live until it has added a random number of files, then killed dead.
    rng = random.Random(3)
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before, more = len(list(out.rglob("*.parquet"))), rng.randint(1, 4)
        while process.poll() is None and len(list(out.rglob("*.parquet"))) < before + more:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.02)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    ours, theirs = _tables(out), _tables(finished)
    for stage, table in theirs.items():
        assert ours[stage].equals(table), stage


def test_a_finished_run_is_not_done_again(finished_copy: Path, sums: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in finished_copy.glob("*/part-*.parquet")}
    before = pq.read_table(finished_copy / "scores.parquet")
    again = select(sums, finished_copy)
    assert again.scores.equals(before)
    assert again.problem_ids == [row["problem_id"] for row in before.to_pylist()[:5]]
    assert stamps == {p: p.stat().st_mtime_ns for p in finished_copy.glob("*/part-*.parquet")}


def test_changed_option_names_the_table_and_the_way_out(finished_copy: Path, sums: Path) -> None:
    before = (finished_copy / "config.yaml").read_bytes()
    with pytest.raises(
        LearnAlignError, match=r"(?s)rollouts was computed .*temperature was 1\.0.*--redo"
    ):
        select(sums, finished_copy, rollouts__temperature=0.5)
    assert (finished_copy / "config.yaml").read_bytes() == before


def test_budget_larger_than_the_pool(finished_copy: Path, sums: Path) -> None:
    with pytest.raises(LearnAlignError, match="got a budget of 500"):
        select(sums, finished_copy, selection__budget=500)


def _aligned_to(selection: learnalign.Selection, target: list[str], budget: int = 5) -> list[str]:
    """Rank by V times the unit sketch on the target's mean z, problem by problem."""
    gradients = _tables(selection.path, ("gradients",))["gradients"].to_pylist()
    units = {
        row["problem_id"]: (values := from_bytes(row["sketch"]).astype(float))
        / np.linalg.norm(values)
        for row in gradients
        if row["sketch"] is not None
    }
    rows = {row["problem_id"]: row for row in selection.scores.to_pylist()}
    mean = sum(rows[name]["learnability"] * units[name] for name in target) / len(target)
    scores = {name: rows[name]["learnability"] * (units[name] @ mean) for name in units}
    return sorted(scores, key=scores.__getitem__, reverse=True)[:budget]


def test_methods_and_targets_from_the_same_tables(
    finished_copy: Path, sums: Path, tmp_path: Path
) -> None:
    def chosen(**more: Any) -> list[str]:
        return select(sums, finished_copy, **more).problem_ids

    undisturbed = select(sums, finished_copy)
    scores = undisturbed.scores.to_pylist()
    best = max(row["learnability"] for row in scores)
    by_rate = {row["problem_id"]: row["learnability"] for row in scores}
    first = chosen(selection__method="learnability", selection__budget=1)
    assert by_rate[first[0]] == best
    assert chosen(selection__method="random") == chosen(selection__method="random")
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(undisturbed.problem_ids[:2]))
    # The same sketches, averaged over the two named problems alone: the ranking by hand.
    assert chosen(selection__target=str(ids)) == _aligned_to(
        undisturbed, undisturbed.problem_ids[:2]
    )
    with pytest.raises(LearnAlignError, match="matches no problem"):
        chosen(selection__target="source=nowhere")


def test_no_signal_says_what_to_try(sums: Path, tmp_path: Path) -> None:
    pool = tmp_path / "hard.jsonl"
    rows = [
        {"question": f"What is the weather on day {i}?", "answer": "77777777"} for i in range(4)
    ]
    pool.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        LearnAlignError, match=r"(?s)no problem carries a signal.*0 were always right.*--num"
    ):
        select(
            sums,
            tmp_path / "x",
            data__paths=(str(pool),),
            prompt__assistant_prefix=None,
            selection__budget=2,
        )


def test_golds_that_cannot_be_read_and_long_prompts_leave_the_pool(
    sums: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool.jsonl"
    rows = [
        {"question": f"What is {i} + 1?", "answer": str(i + 1), "e": f"{i} + 1 ="} for i in range(6)
    ]
    rows[1]["answer"] = "many"
    rows[2]["question"] = "long " * 9000
    pool.write_text("\n".join(map(json.dumps, rows)))
    done = select(
        sums,
        tmp_path / "x",
        data__paths=(str(pool),),
        prompt__assistant_prefix="{{ row.e }}",
        selection__budget=2,
        selection__method="random",
    )
    reasons = {row["source_row"]: row["reason"] for row in done.excluded.to_pylist()}
    assert reasons == {1: "unparsed_gold", 2: "prompt_too_long"}
    assert done.scores.num_rows == 4
    assert any("gold answer cannot be read" in text for text in done.summary["warnings"])


def test_model_with_nan_weights_sets_problems_aside(sums: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    sick = tmp_path / "sick"
    shutil.copytree(sums, sick)
    (file,) = sick.glob("*.safetensors")
    weights = load_file(file)
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(LearnAlignError, match="no problem is left"):
        select(sick, tmp_path / "x")
    excluded = RunFolder(tmp_path / "x").excluded().to_pylist()
    assert {row["reason"] for row in excluded if row["stage"] == "rollouts"} == {"nonfinite_logits"}
