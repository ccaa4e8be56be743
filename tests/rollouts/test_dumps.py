"""The rollouts that trainers leave behind, in each trainer's own form, are read as they are."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import ModelConfig, PromptConfig, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_tokenizer
from learnalign.problems.prompts import Prompter
from learnalign.rollouts.joining import warnings
from learnalign.rollouts.recorded import RecordedEngine
from learnalign.tables import PROBLEMS

QUESTION, SAID = "How many legs have 3 spiders?", ("24 legs", "18 legs")
CHAT = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


@pytest.fixture(scope="module")
def pool(tokenizer: Any) -> pa.Table:
    prompt, ids = Prompter(tokenizer, PromptConfig())(CHAT, "{}")
    row = {"problem_id": "spiders", "messages": CHAT, "prompt": prompt, "prompt_ids": ids}
    return pa.Table.from_pylist([row], schema=PROBLEMS)


class Written:
    """What each trainer writes of two rollouts, one right and one wrong."""

    def __init__(self, tokenizer: Any, pool: pa.Table) -> None:
        self.tokenizer = tokenizer
        self.prompt, self.prompt_ids = pool["prompt"][0].as_py(), pool["prompt_ids"][0].as_py()
        self.ids = [
            [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            for text in SAID
        ]

    def verl(self, folder: Path, number: int = 4, **more: int) -> Path:
        path = folder / "rollout_data" / f"{number}.jsonl"
        bare = self.tokenizer.decode(self.prompt_ids, skip_special_tokens=True)
        self._lines(
            path,
            [
                {"input": bare, "output": text, "gts": "24", "score": r, "acc": r, **more}
                for text, r in zip(SAID, (1.0, 0.0), strict=True)
            ],
        )
        return path.parent

    def trl(self, folder: Path) -> Path:
        path = folder / "completions" / "completions_00003.parquet"
        path.parent.mkdir()
        columns = {
            "step": [3, 3],
            "prompt": [CHAT] * 2,
            "completion": [[{"role": "assistant", "content": text}] for text in SAID],
            "accuracy_reward": [1.0, 0.0],
            "advantage": [0.7, -0.7],
        }
        pq.write_table(pa.table(columns), path)
        return path.parent

    def open_instruct(self, folder: Path) -> Path:
        rows = [
            {"step": 9, "sample_idx": i, "prompt_idx": 71, "prompt_tokens": self.prompt_ids}
            | {"response_tokens": ids, "reward": reward, "advantage": 0.1, "finish_reason": "stop"}
            | {"dataset": ["math"], "ground_truth": ["24"], "logprobs": [-0.5] * len(ids)}
            for i, (ids, reward) in enumerate(zip(self.ids, (10.0, 0.0), strict=True))
        ]
        return self._lines(folder / "run_rollouts_000000.jsonl", rows)

    def nemo_rl(self, folder: Path) -> Path:
        rows = []
        for i, (ids, reward) in enumerate(zip(self.ids, (1.0, 0.0), strict=True)):
            before, after = [0] * len(self.prompt_ids), [0] * 4
            rows.append(
                {"idx": i, "content": [self.prompt, SAID[i]], "rewards": reward}
                | {"token_ids": [*self.prompt_ids, *ids, *after]}
                | {"token_loss_mask": [*before, *[1] * len(ids), *after]}
                | {"generation_logprobs": [*before, *[-0.5] * len(ids), *after]}
            )
        return self._lines(folder / "train_data_step6.jsonl", rows)

    def nemo_gym(self, folder: Path) -> Path:
        rows = [
            {
                "responses_create_params": {"input": CHAT},
                "response": {
                    "output": [
                        {"type": "reasoning", "summary": []},
                        {
                            "type": "message",
                            "role": "assistant",
                            "content": [{"type": "output_text", "text": text}],
                        },
                    ]
                },
                "reward": reward,
                "_ng_task_index": 0,
                "_ng_rollout_index": i,
            }
            for i, (text, reward) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        self._lines(folder / "gym" / "rollouts_failures.jsonl", [{"error": "x"}])
        self._lines(folder / "gym" / "rollouts_reward_profiling.jsonl", [{"mean/reward": 0.5}])
        return self._lines(folder / "gym" / "rollouts.jsonl", rows).parent

    def prime_rl(self, folder: Path) -> Path:
        def trace(text: str, ids: list[int], score: float) -> dict[str, Any]:
            asked = {"message": CHAT[0], "token_ids": self.prompt_ids}
            asked["mask"] = [False] * len(self.prompt_ids)
            said = {"message": {"role": "assistant", "content": text}, "token_ids": [1, *ids]}
            said["mask"] = [False, *[True] * len(ids)]
            rewards = {"exact": {"score": score, "weight": 1.0}, "form": {"score": 1, "weight": 0}}
            return {"nodes": [asked, said], "rewards": rewards, "errors": [], "ok": True}

        rows = [
            {
                "task": {"key": "k", "hash": "h", "data": {"idx": 0, "prompt": QUESTION}},
                "group": {"id": "g"},
                "traces": [trace(*one)],
            }
            for one in zip(SAID, self.ids, (1.0, 0.0), strict=True)
        ]
        step = folder / "rollouts" / "step_5" / "train"
        self._lines(step / "all" / "traces.jsonl", rows)
        self._lines(step / "effective" / "traces.jsonl", rows[:1])
        return folder / "rollouts"

    def verifiers(self, folder: Path) -> Path:
        rows = [
            {"example_id": i, "prompt": CHAT, "answer": "24", "reward": reward, "metrics": {}}
            | {"completion": [{"role": "assistant", "content": text}], "is_truncated": False}
            for i, (text, reward) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        return self._lines(folder / "results.jsonl", rows)

    def areal(self, folder: Path) -> Path:
        rows = [
            {"task_id": 7, "sample_idx": i, "reward": r, "prompt": self.prompt, "completion": t}
            for i, (t, r) in enumerate(zip(SAID, (1.0, 0.0), strict=True))
        ]
        self._lines(folder / "dump" / "11" / "7.jsonl", [row | {"reward": 0.3} for row in rows])
        return self._lines(folder / "dump" / "12" / "7.jsonl", rows).parent.parent

    def rllm(self, folder: Path) -> Path:
        for i, (text, ids) in enumerate(zip(SAID, self.ids, strict=True)):
            chat = [*CHAT, {"role": "assistant", "content": text}]
            step = {"prompt_ids": self.prompt_ids, "response_ids": ids, "logprobs": []}
            step |= {"chat_completions": chat, "model_response": text, "reward": 0.0}
            episode = {"id": f"t9:{i}", "task_hash": "t9", "task": {"question": QUESTION}}
            episode |= {"is_correct": i == 0, "trajectories": [{"name": "solver", "steps": [step]}]}
            path = folder / "episodes" / f"episode_{i}.jsonl"
            self._lines(path, [episode])
        return folder / "episodes"

    def open_r1(self, folder: Path) -> Path:
        row = {"problem": QUESTION, "pass_rate_generations": SAID, "pass_rate_rewards": [1.0, 0.0]}
        return self._lines(folder / "pass_rates.jsonl", [row])

    def _lines(self, path: Path, rows: list[dict[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path


TRAINERS = [name for name in vars(Written) if not name.startswith("_")]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_dump(tmp_path: Path, tokenizer: Any, pool: pa.Table, trainer: str) -> None:
    written = Written(tokenizer, pool)
    path = getattr(written, trainer)(tmp_path)
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    rows = engine.sample(pool).to_pylist()
    assert [row["completion"] for row in rows] == list(SAID)
    assert [row["recorded_reward"] for row in rows] == [1.0, 0.0]
    assert [row["token_ids"] for row in rows] == written.ids
    assert {row["finish_reason"] for row in rows} == {"stop"}
    told = {"open_instruct": "a reward of 10", "areal": "from earlier steps"}
    assert [text for text in warnings(engine.counts) if told.get(trainer, "x") not in text] == []


def test_each_step_of_a_training_is_a_file(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    written = Written(tokenizer, pool)
    for step in (2, 10, 9):
        folder = written.verl(tmp_path, step, **({"step": step} if step > 2 else {}))
    engine = RecordedEngine(RolloutConfig(recorded=(folder,)), tokenizer)
    assert engine.sample(pool).num_rows == 2
    assert {record.step for group in engine.files for record in group} == {2, 9, 10}
    assert engine.counts["recorded_older"] == 4


def test_several_reward_functions_are_not_guessed_between(tmp_path: Path, tokenizer: Any) -> None:
    row = {"step": 3, "prompt": "?", "completion": "4", "advantage": 0.0}
    path = tmp_path / "completions_00003.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"accuracy": 1.0, "form": 0.5}]), path)
    with pytest.raises(LearnAlignError, match=r"(?s)accuracy, form.*recorded_reward=accuracy"):
        RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    config = RolloutConfig(recorded=(path,), recorded_reward="form")
    assert RecordedEngine(config, tokenizer).files[0][0].reward == 0.5


def test_an_agents_turns_are_no_response(tmp_path: Path, tokenizer: Any, pool: pa.Table) -> None:
    """Several turns, tools and failures are left out, and counted."""
    said = {"message": {"role": "assistant", "content": "24"}}
    tool = {"type": "function_call", "name": "count"}
    rows = [
        {"task": {"data": {"prompt": QUESTION}}, "nodes": [said, said], "rewards": {}},
        {"task": {"data": {"prompt": QUESTION}}, "nodes": [said], "rewards": {"a": None},
         "errors": [{"type": "Timeout"}]},
        {"task": {"data": {"prompt": QUESTION}}, "errors": ["x"], "traces": [{"nodes": [said]}]},
        {"task": {"question": QUESTION}, "is_correct": True,
         "trajectories": [{"steps": [{"model_response": "a"}, {"model_response": "b"}]}]},
        {"responses_create_params": {"input": CHAT}, "reward": 1.0,
         "response": {"output": [tool, {"type": "message", "content": "24"}]}},
        {"token_ids": [1, 2, 3, 4, 5], "token_loss_mask": [0, 1, 0, 1, 0], "rewards": 1.0,
         "prompt": QUESTION},
    ]  # fmt: skip
    rows += [{"prompt": QUESTION, "completion": text} for text in SAID]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    engine = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)
    assert engine.sample(pool)["completion"].to_pylist() == list(SAID)
    assert engine.counts["recorded_empty"] == 6
