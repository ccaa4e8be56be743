"""The whole way from rollouts that exist already: rewards of every kind, down to the ranking."""

import json
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import learnalign

#: Completions of four problems; two of each group are the gold.
QUESTIONS = {"a": "4", "b": "6", "c": "9", "d": "12"}


def _files(
    folder: Path, completions: dict[str, list[str]], golds: dict[str, str]
) -> tuple[Path, Path]:
    pool, rollouts = folder / "pool.jsonl", folder / "rollouts.jsonl"
    rows = [{"id": n, "question": f"Problem {n}?", "answer": golds[n]} for n in completions]
    pool.write_text("\n".join(map(json.dumps, rows)))
    made = [{"id": n, "completion": t} for n, texts in completions.items() for t in texts]
    rollouts.write_text("\n".join(map(json.dumps, made)))
    return pool, rollouts


def _select(
    sums: Path,
    folder: Path,
    completions: dict[str, list[str]],
    golds: dict[str, str],
    **options: Any,
) -> learnalign.Selection:
    pool, rollouts = _files(folder, completions, golds)
    plain = {
        "model.device": "cpu",
        "rollouts.engine": "recorded",
        "rollouts.recorded": (rollouts,),
        "gradients.sketch_size": 64,
        "gradients.num_resampled": 0,
        "verifier.workers": 1,
        "selection.num_bootstrap": 10,
    }
    options = plain | {key.replace("__", "."): value for key, value in options.items()}
    budget = options.pop("budget", 1)
    out = folder / "run"
    return learnalign.select(
        str(sums), str(pool), budget=budget, out=out, options=options, progress="none"
    )  # fmt: skip


FUNCTIONS = """
    import asyncio

    def lengths(prompts, completions, answer, **kwargs):
        assert len(prompts) == len(completions) == len(answer)
        return [len(text) / 8 for text in completions]

    async def lengths_later(completions, **kwargs):
        await asyncio.sleep(0.01)
        return [len(text) / 8 for text in completions]
"""


@pytest.mark.parametrize("name", ["lengths", "lengths_later"])
def test_real_valued_rewards_of_a_function(
    name: str, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_rewards.py").write_text(textwrap.dedent(FUNCTIONS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = {"a": ["x", "xxxx", "xx"], "b": ["xxxx"] * 3, "c": ["x", "xxxxxxxx", "x"]}
    done = _select(sums, tmp_path, texts, QUESTIONS, verifier__kind=f"own_rewards:{name}")
    found = {row["problem_id"]: row for row in done.scores.to_pylist()}
    for key, group in texts.items():
        rewards = np.array([len(text) / 8 for text in group])
        row = found[key]
        assert row["success_rate"] == pytest.approx(rewards.mean())
        # The variance of the rewards takes the place of p(1-p), which here is another number.
        assert row["learnability"] == pytest.approx(rewards.var(), abs=1e-12)
        assert row["num_correct"] == sum(reward > 0.5 for reward in rewards)
        assert row["success_rate_low"] is None
        assert (row["gradient_norm"] > 0) == (rewards.var() > 0)
        assert row["score"] == pytest.approx(row["learnability"] * row["alignment"], abs=1e-12)
    assert done.problem_ids == ["c"]


def test_multiple_choice(sums: Path, tmp_path: Path) -> None:
    golds = {"a": "(B)", "b": "c", "c": "the cat"}
    texts = {
        "a": ["The answer is (B).", r"\boxed{B}", "B is wrong: C", "I cannot say"],
        "b": ["A", "D", "(A)", "Answer: B"],
        "c": ["A", "B", "C", "D"],
    }
    done = _select(sums, tmp_path, texts, golds, verifier__kind="choice")
    found = {row["problem_id"]: row["success_rate"] for row in done.scores.to_pylist()}
    assert found == {"a": 0.5, "b": 0.0}
    assert [(r["problem_id"], r["reason"]) for r in done.excluded.to_pylist()] == [
        ("c", "unparsed_gold")
    ]
    assert any("gold answer cannot be read" in text for text in done.summary["warnings"])


def test_answers_that_hang_cost_their_own_verdict(sums: Path, tmp_path: Path) -> None:
    texts = {
        "a": [r"\boxed{4}", r"\boxed{9^{9^{9^9}}}", r"\boxed{5}"],
        "b": [r"\boxed{6}", r"\boxed{7}", r"\boxed{6.0}"],
    }
    done = _select(sums, tmp_path, texts, QUESTIONS, verifier__kind="math", verifier__timeout_s=2.0)
    (shard,) = (tmp_path / "run" / "verdicts").glob("*.parquet")
    verdicts = pq.read_table(shard)
    expected = {"correct": 3, "wrong": 2, "timed_out": 1}
    assert Counter(verdicts["verdict"].to_pylist()) == expected
    found = {row["problem_id"]: row["success_rate"] for row in done.scores.to_pylist()}
    assert found == {"a": pytest.approx(1 / 3), "b": pytest.approx(2 / 3)}
    assert "timed out" in (tmp_path / "run" / "report.html").read_text()


def test_recorded_rewards_are_the_verdicts(sums: Path, tmp_path: Path) -> None:
    pool, rollouts = _files(tmp_path, {name: [] for name in QUESTIONS}, QUESTIONS)
    table = pa.Table.from_pylist(
        [{"id": "a", "responses": ["4", "5"], "rewards": [1.0, 0.0]},
         {"id": "b", "responses": ["6", "6"], "rewards": [1.0, 1.0]},
         {"id": "c", "responses": ["9"], "rewards": [1.0]}]
    )  # fmt: skip
    path = rollouts.with_suffix(".parquet")
    pq.write_table(table, path)
    done = learnalign.select(
        str(sums), str(pool), budget=1, out=tmp_path / "run", progress="none",
        options={"rollouts.engine": "recorded", "rollouts.recorded": (path,),
                 "model.device": "cpu", "selection.method": "learnability"},
    )  # fmt: skip
    assert done.problem_ids == ["a"]
    found = {row["problem_id"]: row["success_rate"] for row in done.scores.to_pylist()}
    assert found == {"a": 0.5, "b": 1.0}
    gone = {row["problem_id"]: row["reason"] for row in done.excluded.to_pylist()}
    assert gone == {"c": "too_few_rollouts", "d": "too_few_rollouts"}
