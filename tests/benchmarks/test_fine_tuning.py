"""Supervised fine-tuning: which tokens it learns, going on after a stop, the adapter."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from helpers.tiny_models import tiny_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
GSM8K_ROW = {
    "question": "Weng earns $12 an hour. She did 50 minutes. How much did she earn?",
    "answer": "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\n"
    "Working 50 minutes, she earned 0.2 x 50 = $<<0.2*50=10>>10.\n#### 10",
}


@pytest.fixture
def tuning(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("fine_tuning")


@pytest.fixture
def steps_model(tuning: ModuleType) -> ModuleType:
    return import_module("steps_model")


@pytest.fixture
def worked(tuning: ModuleType) -> ModuleType:
    return import_module("worked_problems")


def some_examples(tuning: ModuleType, count: int) -> list[Any]:
    generator = torch.Generator().manual_seed(3)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(3, 61, (length,), generator=generator).tolist()

    return [tuning.Example(ids(1, 9), ids(1, 12)) for _ in range(count)]


def by_hand(model: Any, example: Any) -> list[float]:
    """Take a response's losses from the logits of the one unpadded sequence, token by token."""
    ids = example.prompt + example.response
    logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    losses = []
    for place in range(len(example.prompt), len(ids)):
        row = logits[place - 1]
        losses.append(
            float(torch.log(torch.exp(row - row.max()).sum()) + row.max() - row[ids[place]])
        )
    return losses


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_loss_is_that_of_the_response_tokens_alone(tuning: ModuleType, name: str) -> None:
    model, examples = tiny_model(name, torch.float32), some_examples(tuning, 7)
    with torch.no_grad():
        expected = [loss for example in examples for loss in by_hand(model, example)]
        found = tuning.response_loss(model, tuning.collate(examples, torch.device("cpu")))
    assert found.shape == (sum(len(example.response) for example in examples),)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-4
    )
    mean = tuning.log_likelihood(model, examples, batch_size=3)
    assert mean == pytest.approx(-sum(expected) / len(expected), rel=1e-4)


def test_a_step_is_adamw_on_the_mean_over_response_tokens(tuning: ModuleType) -> None:
    examples = some_examples(tuning, 3)
    mine, plain = tiny_model("llama", torch.float32), tiny_model("llama", torch.float32)
    training = tuning.FineTuning(
        mine, examples, batch_size=3, num_steps=1, learning_rate=1e-2, seed=0
    )
    training.step()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for example in examples:
        ids = torch.tensor([example.prompt + example.response])
        labels = ids.clone()
        labels[:, : len(example.prompt)] = -100
        loss = plain(input_ids=ids, labels=labels).loss  # transformers' own masked mean
        losses.append(loss * len(example.response))
    (sum(losses) / sum(len(example.response) for example in examples)).backward()
    torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    optimizer.step()
    # AdamW's first step is nearly the gradient's sign, so gradients near zero are left out.
    for one, other in zip(mine.parameters(), plain.parameters(), strict=True):
        clear = other.grad.abs() > 1e-6
        torch.testing.assert_close(one[clear], other[clear], rtol=1e-4, atol=1e-5)


def test_the_learning_rate_rises_and_falls_to_zero(tuning: ModuleType) -> None:
    training = tuning.FineTuning(
        tiny_model("llama", torch.float32),
        some_examples(tuning, 4),
        batch_size=2,
        num_steps=40,
        learning_rate=0.8,
        seed=0,
    )
    rates = {step: training.rate(step) for step in (0, 4, 10, 20, 39)}
    assert rates == pytest.approx({0: 0.08, 4: 0.4, 10: 0.6, 20: 0.4, 39: 0.02})


def test_going_on_is_the_same_as_never_stopping(tuning: ModuleType, tmp_path: Path) -> None:
    examples = some_examples(tuning, 10)

    def begin() -> Any:
        model = tiny_model("llama", torch.float32)
        return tuning.FineTuning(
            model, examples, batch_size=3, num_steps=7, learning_rate=1e-2, seed=1
        )

    whole = begin()
    losses = [whole.step() for _ in range(7)]
    first = begin()
    first.load(tmp_path)  # nothing is there
    told = []
    for _ in range(4):
        told.append(first.step())
        first.notes = {"losses": told}
        first.save(tmp_path)
    first.step()  # lost: it was not saved
    second = begin()
    second.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]
    assert second.done == 4
    told = second.notes["losses"] + [second.step() for _ in range(3)]
    assert told == losses
    for one, other in zip(second.named.values(), whole.named.values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_teaching_goes_on_after_a_stop(
    steps_model: ModuleType,
    tuning: ModuleType,
    sums: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = steps_model.Teaching(str(sums), steps=5, batch_size=2, num_held_out=3, save_every=2)
    whole = steps_model.teach(given, tmp_path / "whole", device="cpu")
    plain = tuning.FineTuning.step

    def stopped(self: Any) -> float:
        if self.done == 3:
            raise KeyboardInterrupt
        return plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(tuning.FineTuning, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            steps_model.teach(given, tmp_path / "parts", device="cpu")
    parts = steps_model.teach(given, tmp_path / "parts", device="cpu")
    assert parts["losses"] == whole["losses"]
    assert len(whole["losses"]) == 5
    files = [
        tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("whole", "parts")
    ]
    one, other = (load_file(file) for file in files)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {value.dtype for value in one.values()} == {torch.bfloat16}
    steps = [row["step"] for row in parts["evaluations"]]
    assert steps == [0, 5]
    before, after = (row["log_likelihood"] for row in parts["evaluations"])
    assert after > before

    other_options = steps_model.Teaching(str(sums), steps=6, batch_size=2, num_held_out=3)
    with pytest.raises(SystemExit, match="of other options"):
        steps_model.teach(other_options, tmp_path / "parts", device="cpu")

    held_out = import_module("held_out")
    held_out.merge(str(sums), tmp_path / "whole" / "adapter", tmp_path / "merged")
    _assert_merged(sums, tmp_path / "whole" / "adapter", tmp_path / "merged")


def _assert_merged(base: Path, adapter: Path, merged: Path) -> None:
    """Compare a merged matrix with base + alpha / rank * B A, alpha being twice the rank."""
    low = load_file(adapter / "adapter_model.safetensors")
    before, after = (load_file(path / "model.safetensors") for path in (base, merged))
    assert before.keys() == after.keys()
    name = "model.layers.1.mlp.up_proj"
    a, b = (low[f"base_model.model.{name}.lora_{part}.weight"].float() for part in "AB")
    assert b.abs().max() > 0
    expected = before[f"{name}.weight"].float() + 2.0 * b @ a
    torch.testing.assert_close(after[f"{name}.weight"], expected)


def test_gsm8k_loses_its_calculator_marks(worked: ModuleType) -> None:
    row = worked.gsm8k_row(GSM8K_ROW["question"], GSM8K_ROW["answer"], "train-1")
    assert row["answer"] == "10"
    assert row["solution"] == (
        "Weng earns 12/60 = $0.2 per minute.\n"
        "Working 50 minutes, she earned 0.2 x 50 = $10.\n"
        "The answer is 10."
    )
    assert row["difficulty"] == "2 steps"


def test_the_verifier_reads_every_solution_of_gsm8k(worked: ModuleType) -> None:
    if not (worked.GSM8K / "train.jsonl").is_file():
        pytest.skip("GSM8K is not here")
    from learnalign.verifying.judges import number
    from learnalign.verifying.rewards import math

    train, test = worked.gsm8k()
    assert (len(train), len(test)) == (7473, 1319)
    lines = (worked.GSM8K / "test.jsonl").read_text(encoding="utf-8").splitlines()
    for row, line in zip(test, lines, strict=True):
        gold = json.loads(line)["answer"].split("####")[1]  # as the data set has it: 1,234
        assert "<<" not in row["solution"]
        assert number.judge(number.parse_gold(gold), row["solution"]).verdict == "correct", row
    some = test[:60]
    rewards = math([row["solution"] for row in some], solution=[row["answer"] for row in some])
    assert rewards == [1.0] * 60


def test_prompts_are_those_of_the_preset(worked: ModuleType, smollm2: Path) -> None:
    from transformers import AutoTokenizer

    from learnalign import load_config

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    config = load_config(BENCHMARKS / "presets" / "steps.yaml")
    row = worked.gsm8k_row(GSM8K_ROW["question"], GSM8K_ROW["answer"], "train-1")
    (example,) = worked.examples([row], tokenizer, config)
    table = worked.problems_table([row], tokenizer, config)
    assert table["prompt_ids"].to_pylist() == [example.prompt]
    assert tokenizer.decode(example.prompt + example.response) == (
        f"<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
        f"{row['solution']}<|im_end|>"
    )


def test_the_whole_is_six_flops_a_parameter_and_token(tuning: ModuleType) -> None:
    training_time = import_module("training_time")
    model = torch.nn.Linear(10, 20, bias=False)  # 200 parameters
    examples = [tuning.Example([1, 2], [3, 4, 5]), tuning.Example([1], [2])]  # 7 tokens
    found = training_time.whole(model, examples, rate=3.0, tflops=2.0)
    assert found["tokens"] == 21
    assert found["flops"] == 6 * 200 * 21
    assert found["seconds_here"] == 7.0
    assert found["seconds_at_tflops"] == pytest.approx(25_200 / 2e12)


@pytest.mark.slow
def test_minutes_become_steps_once(
    steps_model: ModuleType, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = steps_model.Teaching(str(sums), minutes=0.5, batch_size=2, num_held_out=2)
    training, *_ = steps_model.prepare(given, "cpu")
    total = sum(len(e.prompt) + len(e.response) for e in training.examples)
    per_step = 2 * total / len(training.examples)
    monkeypatch.setattr(steps_model, "tokens_per_second", lambda _: per_step / 10)
    assert steps_model.teach(given, tmp_path, device="cpu")["num_steps"] == 3  # 30 s at 10 s a step
    monkeypatch.setattr(steps_model, "tokens_per_second", lambda _: 7 * per_step)
    again = steps_model.teach(given, tmp_path, device="cpu")
    assert again["num_steps"] == len(again["losses"]) == 3
