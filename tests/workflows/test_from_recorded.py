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
import torch

import learnalign
from helpers.digits import OPTIONS, digits_data, digits_model
from helpers.hang import HANG
from learnalign import load_config
from learnalign.config import ModelConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.pipeline.success_histories import read_history
from learnalign.rollouts.imports.joining import Join
from learnalign.rollouts.imports.reading import read_records
from learnalign.runs.folder import RunFolder
from learnalign.workflows.estimate import estimate_rollouts
from learnalign.workflows.export import export_run

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
        "selection.method": "learnalign",
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
        "a": [r"\boxed{4}", rf"\boxed{{{HANG}}}", r"\boxed{5}"],
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


def _digits(
    folder: Path, rollouts: list[dict[str, Any]], **more: Any
) -> tuple[learnalign.Selection, dict[str, Any]]:
    """Select from recorded rollouts of a tiny model; its gradients by problem."""
    folder.mkdir(exist_ok=True)
    model, data = digits_model(folder / "model"), digits_data(folder / "sums.jsonl")
    path = folder / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rollouts)))
    options = OPTIONS | {"rollouts.engine": "recorded", "rollouts.recorded": (path,)}
    options |= {"verifier.kind": "auto"} | more
    done = learnalign.select(
        str(model), str(data), budget=2, out=folder / "run", options=options, progress="none"
    )
    rows = (pq.read_table(p).to_pylist() for p in sorted((done.path / "gradients").glob("*")))
    return done, {row["problem_id"]: row for part in rows for row in part}


def _sums(*rewards: float | str) -> list[dict[str, Any]]:
    return [
        {"id": f"0+{b}", "completion": str((b + g) % 10), "reward": reward}
        for b in range(10)
        for g, reward in enumerate(rewards)
    ]


def test_what_judged_the_problems_is_counted(tmp_path: Path) -> None:
    """Rewards where rollouts bring some, a verifier for the others; one that was named, for all."""
    rows = _sums(1, 0)
    for row in rows[:6]:
        row["reward"] = None
    done, _ = _digits(tmp_path, rows)
    assert done.summary["verifiers"] == {"recorded rewards": 7, "number": 3}
    named, _ = _digits(tmp_path / "named", rows, **{"verifier.kind": "number"})
    assert named.summary["verifiers"] == {"number": 10}


def test_a_recorded_reward_that_is_no_number(tmp_path: Path) -> None:
    """Its rollout does not count: all is as if it had not been recorded."""
    whole, fresh = _digits(tmp_path / "a", _sums(1, 0, 0))
    rows = _sums(1, 0, 0)
    for b, sick in enumerate((float("nan"), float("inf"), "-inf")):
        rows.insert(4 * b + 1, {"id": f"0+{b}", "completion": "7", "reward": sick})
    done, gradients = _digits(tmp_path / "b", rows)
    assert done.scores.drop(["mean_response_tokens"]).equals(
        whole.scores.drop(["mean_response_tokens"])
    )
    for name in {row["id"] for row in rows}:
        assert gradients[name]["status"] == "ok"
        assert gradients[name]["num_rollouts"] == 3
        assert gradients[name]["sketch"] == fresh[name]["sketch"]
    (told,) = [text for text in done.summary["warnings"] if "NaN or Inf" in text]
    assert told.startswith("3 of 33 recorded rollouts")


def test_rollouts_of_another_pool(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"{n}-{n}=", "completion": "0"} for n in range(4)]
    with pytest.raises(LearnAlignError, match="0 of 4 rows match a problem"):
        _digits(tmp_path, rows)


def test_a_dry_run_counts_what_is_recorded(tmp_path: Path) -> None:
    model, data = digits_model(tmp_path / "model"), digits_data(tmp_path / "sums.jsonl")
    path = tmp_path / "rollouts.jsonl"
    rows = [{"prompt": f"0+{b}=", "completion": "1"} for b in range(4) for _ in range(3)]
    path.write_text("\n".join(map(json.dumps, [*rows, {"prompt": "1+1", "completion": "2"}])))
    options = OPTIONS | {"rollouts.engine": "recorded", "rollouts.recorded": (path,)}
    options |= {"model.path": str(model), "data.paths": (str(data),)}
    work = estimate_rollouts(load_config(overrides=options))
    assert (work["recorded_rollouts"], work["problems_with_recorded_rollouts"]) == (12, 4)
    path.write_text('{"prompt": "1+1", "completion": "2"}')
    with pytest.raises(LearnAlignError, match="0 of 1 rows match"):
        estimate_rollouts(load_config(overrides=options))


def test_a_dump_is_found_in_all_shards(tmp_path: Path) -> None:
    """Ids that count the rows are other problems' ids, in other shards."""
    rows = [
        {"id": f"0+{9 - b}", "prompt": f"0+{b}=", "completion": str(g), "reward": g % 2, "step": 1}
        for b in range(10)
        for g in range(2 + b % 3)
    ]
    done, _ = _digits(tmp_path, rows)
    found = {row["problem_id"]: row["num_rollouts"] for row in done.scores.to_pylist()}
    assert found == {f"0+{b}": 2 + b % 3 for b in range(10)}
    said = [text for text in done.summary["warnings"] if "the prompt decided" in text]
    assert len(said) == 1
    assert said[0].startswith(f"{len(rows)} of {len(rows)}")


def test_what_trl_itself_leaves_behind(tmp_path: Path) -> None:
    """A training with TRL that logs its completions; its last step is selected from.

    One of two reward functions is named, and both steps are a history. Where the other function
    returned None, there is no reward.
    """
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    folder, data = digits_model(tmp_path / "model"), digits_data(tmp_path / "sums.jsonl", count=4)
    model = ModelConfig(path=str(folder), device="cpu")
    seen: list[tuple[int, str, str, float]] = []

    def accuracy(
        prompts: list[str], completions: list[str], trainer_state: Any, **_: Any
    ) -> list[float]:
        rewards = [float(len(text) % 2) for text in completions]
        steps = [trainer_state.global_step + 1] * len(prompts)  # TRL logs when a step is made
        seen.extend(zip(steps, prompts, completions, rewards, strict=True))
        return rewards

    def sometimes(completions: list[str], **_: Any) -> list[float | None]:
        return [None if text[:1] == "1" else 0.5 for text in completions]

    config = trl.GRPOConfig(
        output_dir=str(tmp_path / "trl"), max_steps=2, num_generations=4, logging_steps=1,
        per_device_train_batch_size=16, max_completion_length=2, log_completions=True,
        use_cpu=True, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    questions = [json.loads(line)["question"] for line in data.read_text().splitlines()]
    trl.GRPOTrainer(
        model=load_model(model, dtype=torch.float32),
        reward_funcs=[accuracy, sometimes],
        args=config,
        train_dataset=datasets.Dataset.from_dict({"prompt": questions}),
        processing_class=load_tokenizer(model),
    ).train()
    dump = tmp_path / "trl" / "completions"
    options = OPTIONS | {"rollouts.engine": "recorded", "rollouts.recorded": (dump,)}
    options |= {"verifier.kind": "auto", "selection.method": "learnability"}
    options |= {"rollouts.max_tokens": 4, "rollouts.recorded_reward": "accuracy"}
    done = learnalign.select(
        str(folder), str(data), budget=2, out=tmp_path / "run", options=options, progress="none"
    )
    last = Counter(row[1:] for row in seen if row[0] == 2)
    assert sum(last.values()) == 16
    rows = pa.concat_tables(map(pq.read_table, (done.path / "rollouts").glob("*"))).to_pylist()
    found = Counter((f"{r['problem_id']}=", r["completion"], r["recorded_reward"]) for r in rows)
    assert found == last
    assert any("are from earlier steps" in text for text in done.summary["warnings"])
    records, _ = read_records([dump], reward_column="sometimes")
    for record in (record for file in records for record in file):
        assert record.reward == (None if (record.completion or "")[:1] == "1" else 0.5)
    pool = RunFolder(done.path).table("problems")
    history = read_history(
        dump, lambda: Join([pool], load_tokenizer(model)), reward_column="accuracy"
    )
    for name, outcomes in history.outcomes.items():
        for outcome in outcomes:
            rewards = [row[3] for row in seen if row[:2] == (outcome.step, f"{name}=")]
            assert outcome.num_rollouts == len(rewards)
            assert outcome.success_rate == pytest.approx(np.mean(rewards))
    assert {one.step for outcomes in history.outcomes.values() for one in outcomes} == {1, 2}


def test_a_recipes_reward_may_be_another_than_was_selected_by(tmp_path: Path) -> None:
    """Recorded rewards are more than a recipe can name; two verifiers in one pool are not."""
    done, _ = _digits(tmp_path, _sums(1, 0, 0))
    config = load_config(done.path / "config.yaml", overrides={"run.out": done.path})
    assert done.summary["verifiers"] == {"recorded rewards": 10}
    told = export_run(done.path, config, "trl").warnings
    assert [text for text in told if "used recorded rewards" in text]
    told_so = {"run.out": done.path, "verifier.unfinished_thinking": True}
    config = load_config(done.path / "config.yaml", overrides=told_so)
    told = export_run(done.path, config, "trl").warnings
    assert [text for text in told if "unfinished thinking" in text]
    assert not [t for t in export_run(done.path, config, "verl").warnings if "unfinished" in t]
    script = (done.path / "export-verl" / "verl.sh").read_text()
    assert "reward_kwargs.unfinished_thinking=True" in script
    pytest.importorskip("reasoning_gym")
    data = tmp_path / "mixed.jsonl"
    rows = [
        {"id": n, "question": f"{n}+0=", "answer": str(n)}
        | ({"metadata": {"source_dataset": "chain_sum"}} if n < 3 else {})
        for n in range(5)
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    options = OPTIONS | {"verifier.kind": "auto", "selection.method": "learnability"}
    done = learnalign.select(
        str(tmp_path / "model"), str(data), budget=5, out=tmp_path / "mixed", options=options,
        progress="none",
    )  # fmt: skip
    config = load_config(done.path / "config.yaml", overrides={"run.out": done.path})
    assert done.summary["verifiers"] == {"reasoning_gym": 3, "number": 2}
    assert not [t for t in export_run(done.path, config, "trl").warnings if "reward" in t]
    recipe = (done.path / "export-trl" / "trl.yaml").read_text()
    assert "learnalign.verifying.rewards.auto" in recipe
