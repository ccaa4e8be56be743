"""The embedded engine on the real SmolLM2 and on tiny models: what it samples, and when it ends."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from helpers.tiny_models import tiny_model
from learnalign.config import ModelConfig, RolloutConfig
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.rollouts.sampling import uniforms
from learnalign.rollouts.transformers import TransformersEngine


@pytest.fixture(scope="module")
def real(smollm2):
    config = ModelConfig(path=str(smollm2), device="cpu")
    return load_model(config, dtype=torch.float32), load_tokenizer(config)


def sum_problems(tokenizer, count=6):
    rows = []
    for i in range(count):
        question = f"{i} + {10 * i} ="
        messages = [{"role": "user", "content": f"What is {question[:-2]}?"}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text + question, add_special_tokens=False)["input_ids"]
        rows.append({"problem_id": f"p{i}", "prompt_ids": ids})
    return pa.Table.from_pylist(rows)


def by_id(table):
    return {(row["problem_id"], row["sample"]): row for row in table.to_pylist()}


@pytest.fixture(scope="module")
def small(sums):
    config = ModelConfig(path=str(sums), device="cpu")
    return load_model(config, dtype=torch.float32), load_tokenizer(config)


def test_batches_and_order_do_not_change_a_rollout(small):
    model, tokenizer = small
    problems = sum_problems(tokenizer)
    options = {"num_rollouts": 3, "max_tokens": 8, "stop": ("\n",)}
    whole = TransformersEngine(model, tokenizer, RolloutConfig(**options), seed=4).sample(problems)
    single = RolloutConfig(**options, token_budget=1)
    turned = TransformersEngine(model, tokenizer, single, seed=4).sample(
        problems.take(pa.array([5, 3, 1, 0, 2, 4]))
    )
    assert whole["problem_id"].to_pylist() == [f"p{i}" for i in range(6) for _ in range(3)]
    a, b = by_id(whole), by_id(turned)
    assert a.keys() == b.keys()
    prompts = {row["problem_id"]: row["prompt_ids"] for row in problems.to_pylist()}
    same = 0
    for key, row in a.items():
        ids, others = row["token_ids"], b[key]["token_ids"]
        if ids == others:
            same += 1
            assert b[key]["completion"] == row["completion"]
            np.testing.assert_allclose(b[key]["logprobs"], row["logprobs"], atol=1e-4)
            continue
        # Another token is right only where the drawn number lies on the boundary between the two,
        # as near as float32 logits can tell.
        place = next(t for t in range(len(ids)) if ids[t] != others[t])
        with torch.no_grad():
            logits = model(torch.tensor([prompts[key[0]] + ids[:place]])).logits[0, -1]
        cumulative = logits.double().softmax(-1).cumsum(0)
        low, high = sorted((ids[place], others[place]))
        number = uniforms(4, *key, 8)[place]
        assert abs(float(cumulative[low]) - number) < 1e-5
        assert float(cumulative[high - 1] - cumulative[low]) < 1e-5
    assert same >= len(a) - 2
    other = TransformersEngine(model, tokenizer, RolloutConfig(**options), seed=5).sample(problems)
    assert other["token_ids"].to_pylist() != whole["token_ids"].to_pylist()


def test_logprobs_are_those_of_a_plain_forward_pass(real):
    model, tokenizer = real
    problems = sum_problems(tokenizer, 3)
    config = RolloutConfig(num_rollouts=2, max_tokens=10, temperature=0.8, top_p=0.9)
    rows = TransformersEngine(model, tokenizer, config, seed=0).sample(problems).to_pylist()
    prompts = {p["problem_id"]: p["prompt_ids"] for p in problems.to_pylist()}
    for row in rows:
        prompt, ids = prompts[row["problem_id"]], row["token_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits / 0.8, -1)[range(len(ids)), ids]
        np.testing.assert_allclose(row["logprobs"], logprobs, atol=1e-3)


def test_ends_at_end_token_stop_string_or_length(real):
    model, tokenizer = real
    config = RolloutConfig(num_rollouts=8, max_tokens=12, stop=("\n", ". In"))
    rows = (
        TransformersEngine(model, tokenizer, config, seed=0)
        .sample(sum_problems(tokenizer))
        .to_pylist()
    )
    reasons = set()
    for row in rows:
        ids = row["token_ids"]
        text = tokenizer.decode(ids, skip_special_tokens=True)
        places = [text.find(stop) for stop in config.stop if stop in text]
        ended = ids[-1] == tokenizer.eos_token_id
        assert row["finish_reason"] == ("stop" if ended or places else "length")
        assert row["completion"] == (text[: min(places)] if places else text)
        assert tokenizer.eos_token_id not in ids[:-1]
        before = tokenizer.decode(ids[:-1], skip_special_tokens=True)
        assert not any(stop in before for stop in config.stop)
        assert ended or places or len(ids) == 12
        reasons.add("end" if ended else "string" if places else "length")
    assert reasons == {"end", "string", "length"}


def test_every_architecture_follows_its_own_distribution(real):
    _, tokenizer = real
    for name in ("gpt2", "gemma", "qwen2", "sliding", "mixtral"):
        model = tiny_model(name, torch.float32)
        config = RolloutConfig(num_rollouts=4, max_tokens=6)
        problems = pa.Table.from_pylist(
            [{"problem_id": str(n), "prompt_ids": list(range(3, 3 + n))} for n in (2, 9, 5)]
        )
        engine = TransformersEngine(model, tokenizer, config, seed=0)
        engine.end_ids = torch.tensor([2])
        prompts = {p["problem_id"]: p["prompt_ids"] for p in problems.to_pylist()}
        for row in engine.sample(problems).to_pylist():
            prompt, ids = prompts[row["problem_id"]], row["token_ids"]
            with torch.no_grad():
                logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
            logprobs = torch.log_softmax(logits, -1)[range(len(ids)), ids]
            np.testing.assert_allclose(row["logprobs"], logprobs, atol=2e-3, err_msg=name)


def test_a_sick_problem_is_set_aside_and_the_others_are_not(real):
    _, tokenizer = real
    model = tiny_model("llama", torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = float("nan")
    problems = pa.Table.from_pylist(
        [
            {"problem_id": "well", "prompt_ids": [3, 4]},
            {"problem_id": "sick", "prompt_ids": [60, 4]},
        ]
    )
    engine = TransformersEngine(
        model, tokenizer, RolloutConfig(num_rollouts=2, max_tokens=1), seed=0
    )
    rows = engine.sample(problems).to_pylist()
    assert [row["problem_id"] for row in rows] == ["well", "well"]
    assert engine.failures == [
        ("sick", "nonfinite_logits", "the model's logits contain NaN or Inf")
    ]


def test_responses_end_where_the_context_does(real):
    _, tokenizer = real
    problems = pa.Table.from_pylist(
        [{"problem_id": n, "prompt_ids": [5] * k} for n, k in (("long", 61), ("short", 3))]
    )
    engine = TransformersEngine(
        tiny_model("gpt2", torch.float32), tokenizer, RolloutConfig(max_tokens=8), seed=0
    )
    engine.context, engine.end_ids = 64, torch.tensor([], dtype=torch.long)
    for row in engine.sample(problems).to_pylist():
        assert len(row["token_ids"]) == (3 if row["problem_id"] == "long" else 8)
        assert row["finish_reason"] == "length"
