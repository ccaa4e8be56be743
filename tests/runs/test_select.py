"""The whole way on the real small model: killed and resumed equals undisturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import learnalign
from learnalign.errors import LearnAlignError
from learnalign.sketches import from_bytes

CONFIG: dict[str, Any] = {
    "prompt": {"assistant_prefix": "{{ row.metadata.expression }} ="},
    "rollouts": {"num_rollouts": 4, "max_tokens": 5, "stop": ["\n"], "token_budget": 2000},
    "gradients": {"sketch_size": 256, "num_resampled": 4},
    "selection": {"budget": 5, "num_bootstrap": 50},
    "verifier": {"kind": "number", "workers": 1},
    "run": {"shard_size": 4},
    "data": {"paths": ["reasoning-gym:chain_sum?size=14&seed=1&max_terms=2&max_digits=1"]},
}


def _options(smollm2: Path, **more: Any) -> dict[str, Any]:
    flat = {f"{s}.{k}": v for s, values in CONFIG.items() for k, v in values.items()}
    flat |= {"model.path": str(smollm2), "model.device": "cpu"}
    return flat | more


def _run(smollm2: Path, out: Path, **more: Any) -> learnalign.Selection:
    options = _options(smollm2, **{key.replace("__", "."): value for key, value in more.items()})
    paths = options.pop("data.paths")
    return learnalign.select(
        options.pop("model.path"),
        paths,
        budget=options.pop("selection.budget"),
        out=out,
        options=options,
        progress="none",
    )


@pytest.fixture(scope="module")
def undisturbed(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> learnalign.Selection:
    return _run(smollm2, tmp_path_factory.mktemp("runs") / "undisturbed")


def _tables(out: Path, stages: tuple[str, ...] = ("problems", "rollouts", "verdicts", "gradients")):
    found = {
        s: pa.concat_tables(map(pq.read_table, sorted((out / s).glob("*.parquet")))) for s in stages
    }
    return found | {"scores": pq.read_table(out / "scores.parquet")}


def test_the_folder_keeps_its_contract(undisturbed: learnalign.Selection) -> None:
    out = undisturbed.path
    for name in ("scores.parquet", "manifest.json", "config.yaml", "report.html"):
        assert (out / name).stat().st_size > 100
    tables = _tables(out)
    scores = tables["scores"].to_pylist()
    gradients = {row["problem_id"]: row for row in tables["gradients"].to_pylist()}
    assert [row["rank"] for row in scores] == list(range(1, len(scores) + 1))
    assert [row["selected"] for row in scores] == [True] * 5 + [False] * (len(scores) - 5)
    assert undisturbed.problem_ids == [row["problem_id"] for row in scores[:5]]
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


def test_killed_again_and_again_equals_undisturbed(
    undisturbed: learnalign.Selection, smollm2: Path, tmp_path: Path
) -> None:
    out, config = tmp_path / "killed", tmp_path / "c.yaml"
    tree: dict[str, dict[str, Any]] = {}
    for key, value in _options(smollm2).items():
        section, name = key.split(".")
        tree.setdefault(section, {})[name] = value
    config.write_text(yaml.safe_dump(tree))
    command = [sys.executable, "-c", "from learnalign.cli.main import main; main()", "select"]
    command += ["--config", str(config), "--out", str(out)]
    # Each process is let live until it has added a random number of files, then killed dead.
    rng = random.Random(3)
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before, more = len(list(out.rglob("*.parquet"))), rng.randint(1, 4)
        while process.poll() is None and len(list(out.rglob("*.parquet"))) < before + more:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.3)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    ours, theirs = _tables(out), _tables(undisturbed.path)
    for stage, table in theirs.items():
        assert ours[stage].equals(table), stage


def test_a_finished_run_is_not_done_again(undisturbed: learnalign.Selection, smollm2: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in undisturbed.path.glob("*/part-*.parquet")}
    again = _run(smollm2, undisturbed.path)
    assert again.scores.equals(undisturbed.scores)
    assert stamps == {p: p.stat().st_mtime_ns for p in undisturbed.path.glob("*/part-*.parquet")}


def test_changed_option_names_the_table_and_the_way_out(
    undisturbed: learnalign.Selection, smollm2: Path
) -> None:
    before = (undisturbed.path / "config.yaml").read_bytes()
    with pytest.raises(
        LearnAlignError, match=r"(?s)rollouts was made .*temperature was 1\.0.*--redo"
    ):
        _run(smollm2, undisturbed.path, rollouts__temperature=0.5)
    assert (undisturbed.path / "config.yaml").read_bytes() == before


def test_budget_larger_than_the_pool(undisturbed: learnalign.Selection, smollm2: Path) -> None:
    with pytest.raises(LearnAlignError, match="got a budget of 500"):
        _run(smollm2, undisturbed.path, selection__budget=500)


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
    undisturbed: learnalign.Selection, smollm2: Path, tmp_path: Path
) -> None:
    def chosen(**more: Any) -> list[str]:
        return _run(smollm2, undisturbed.path, **more).problem_ids

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
    with pytest.raises(LearnAlignError, match="true of no problem"):
        chosen(selection__target="source=nowhere")
    _run(smollm2, undisturbed.path)


def test_no_signal_says_what_to_try(smollm2: Path, tmp_path: Path) -> None:
    pool = tmp_path / "hard.jsonl"
    rows = [
        {"question": f"What is the weather on day {i}?", "answer": "77777777"} for i in range(4)
    ]
    pool.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        LearnAlignError, match=r"(?s)no problem carries a signal.*0 were always right.*--num"
    ):
        _run(
            smollm2,
            tmp_path / "x",
            data__paths=[str(pool)],
            prompt__assistant_prefix=None,
            selection__budget=2,
        )


def test_golds_that_cannot_be_read_and_long_prompts_leave_the_pool(
    smollm2: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool.jsonl"
    rows = [
        {"question": f"What is {i} + 1?", "answer": str(i + 1), "e": f"{i} + 1 ="} for i in range(6)
    ]
    rows[1]["answer"] = "many"
    rows[2]["question"] = "long " * 9000
    pool.write_text("\n".join(map(json.dumps, rows)))
    done = _run(
        smollm2,
        tmp_path / "x",
        data__paths=[str(pool)],
        prompt__assistant_prefix="{{ row.e }}",
        selection__budget=2,
        selection__method="random",
    )
    reasons = {row["source_row"]: row["reason"] for row in done.excluded.to_pylist()}
    assert reasons == {1: "unparsed_gold", 2: "prompt_too_long"}
    assert done.scores.num_rows == 4
    assert any("gold answer cannot be read" in text for text in done.summary["warnings"])


def test_model_with_nan_weights_sets_problems_aside(smollm2: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    sick = tmp_path / "sick"
    shutil.copytree(smollm2, sick)
    (file,) = sick.glob("*.safetensors")
    weights = load_file(file)
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(LearnAlignError, match="no problem is left"):
        _run(sick, tmp_path / "x")
    from learnalign.runs.folder import RunFolder

    excluded = RunFolder(tmp_path / "x").excluded().to_pylist()
    assert {row["reason"] for row in excluded if row["stage"] == "rollouts"} == {"nonfinite_logits"}
