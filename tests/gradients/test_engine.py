"""A problem's row against plain autograd, rollout by rollout, on five architectures."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from helpers.tiny_models import CONFIGS, tiny_model
from learnalign.config import GradientConfig
from learnalign.gradients.engine import GradientEngine, Group
from learnalign.gradients.sketch import Sketch
from learnalign.storage.sketch_column import from_bytes

ARCHITECTURES = [*CONFIGS, "sliding"]
TEMPERATURE = 0.7
SEED = 11


def make_problems(seed=0):
    """Three problems with groups of mixed rewards, one without signal, as stage tables."""
    rng = np.random.default_rng(seed)
    problems, rollouts, verdicts = [], [], []
    for i, (rewards, prompt_length) in enumerate(
        [([1, 0, 0, 1], 7), ([0.2, 0.9, 0.4], 1), ([0, 0, 0, 0], 5), ([1, None, 0, 0, 0], 12)]
    ):
        problem_id = f"p{i}"
        prompt = rng.integers(3, 61, size=prompt_length).tolist()
        problems.append({"problem_id": problem_id, "prompt_ids": prompt})
        for g, reward in enumerate(rewards):
            ids = rng.integers(3, 61, size=rng.integers(1, 9)).tolist()
            rollouts.append({"problem_id": problem_id, "sample": g, "token_ids": ids})
            verdicts.append({"problem_id": problem_id, "sample": g, "reward": reward})
    return tuple(pa.Table.from_pylist(rows) for rows in (problems, rollouts, verdicts))


def engine(model, **options):
    config = GradientConfig(**{"sketch_size": 64, **options})
    return GradientEngine(model, config, temperature=TEMPERATURE, seed=SEED, max_tokens=10)


def linear_names(model):
    """Name the weights of linear layers by what their modules are."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    embeddings.add(id(model.get_output_embeddings().weight))
    return [n for n, p in model.named_parameters() if p.ndim > 1 and id(p) not in embeddings]


def slow_gradient(model, prompt, responses, rewards, loss, scale_rewards):
    """GRPO's gradient by its formula: one rollout, one forward, one backward at a time."""
    names = linear_names(model)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    rewards = np.array(rewards, float)
    advantage = rewards - rewards.mean()
    if scale_rewards == "group":
        advantage = advantage / (rewards.std(ddof=1) + 1e-4)
    total = sum(len(ids) for ids in responses)
    sums = dict.fromkeys(names, 0.0)
    for ids, a in zip(responses, advantage, strict=True):
        model.zero_grad()
        logits = model(torch.tensor([prompt + ids])).logits[0] / TEMPERATURE
        logprob = torch.log_softmax(logits, -1)
        objective = sum(logprob[len(prompt) - 1 + t, token] for t, token in enumerate(ids))
        weight = {
            "grpo": a / (len(rewards) * len(ids)),
            "dr_grpo": a / (len(rewards) * 10),
            "dapo": a / total,
        }[loss]
        (objective * weight).backward()
        for name, parameter in model.named_parameters():
            if name in sums and parameter.grad is not None:
                sums[name] = sums[name] + parameter.grad.clone()
    return {
        n: s if isinstance(s, torch.Tensor) else torch.zeros_like(model.get_parameter(n))
        for n, s in sums.items()
    }


def group_of(tables, problem_id):
    _, rollouts, verdicts = tables
    rewards = {(v["problem_id"], v["sample"]): v["reward"] for v in verdicts.to_pylist()}
    rows = [r for r in rollouts.to_pylist() if r["problem_id"] == problem_id]
    kept = [(r["token_ids"], rewards[problem_id, r["sample"]]) for r in rows]
    kept = [(ids, reward) for ids, reward in kept if reward is not None]
    return [ids for ids, _ in kept], [reward for _, reward in kept]


@pytest.mark.parametrize("width", [0, 8])
@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradient_and_row_equal_plain_autograd(name, loss, width):
    tables = make_problems()
    model = tiny_model(name)
    subject = engine(tiny_model(name), loss=loss, token_budget=24, input_width=width)
    rows = {row["problem_id"]: row for row in subject.rows(*tables).to_pylist()}
    for problem in tables[0].to_pylist():
        responses, rewards = group_of(tables, problem["problem_id"])
        row = rows[problem["problem_id"]]
        assert row["num_rollouts"] == len(rewards)
        assert row["num_tokens"] == sum(len(ids) for ids in responses)
        if len(set(rewards)) == 1:
            assert (row["status"], row["gradient_norm"], row["sketch"]) == ("no_signal", 0.0, None)
            continue
        truth = slow_gradient(model, problem["prompt_ids"], responses, rewards, loss, "group")
        ours = subject.gradient(problem["prompt_ids"], Group(responses, rewards))
        assert list(ours) == list(truth)
        for parameter, value in truth.items():
            torch.testing.assert_close(ours[parameter], value, rtol=1e-9, atol=1e-11)
        norm, sketch = expected_row(subject, truth)
        assert row["status"] == "ok"
        assert row["gradient_norm"] == pytest.approx(norm, rel=1e-9)
        np.testing.assert_allclose(from_bytes(row["sketch"]), sketch / norm, rtol=1e-3, atol=1e-6)


def expected_row(subject, truth):
    """Project each whole gradient by its layer's matrix, lay them end to end, sketch."""
    collector = subject.gradients.collector
    pieces = []
    for weight, signs in zip(collector.weights, collector.projections, strict=True):
        gradient = truth[weight.name].reshape(-1, truth[weight.name].shape[-1])
        gradient = gradient.T if weight.transposed else gradient
        if signs is not None:
            assert signs.abs().eq(1).all()
            gradient = gradient @ signs / signs.shape[1] ** 0.5
        pieces.append(gradient.reshape(-1))
    flat = torch.cat(pieces)
    norm = float(flat.norm())
    return norm, Sketch(len(flat), 64, seed=SEED, dtype=torch.float64)([flat]).numpy()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_batches_padding_and_order_of_the_group_do_not_matter(name):
    prompt = [5, 6, 7, 8, 9]
    group = Group([[3, 4], [9, 8, 7, 6, 5, 4, 3], [11], [3, 4]], [1.0, 0.0, 0.0, 1.0])
    turned = Group(group.responses[::-1], group.rewards[::-1])
    results = [
        {
            name: tensor.clone()
            for name, tensor in engine(tiny_model(name), token_budget=budget)
            .gradient(prompt, some)
            .items()
        }
        for budget in (1, 9, 1000)
        for some in (group, turned)
    ]
    for other in results[1:]:
        for parameter, tensor in results[0].items():
            torch.testing.assert_close(other[parameter], tensor, rtol=1e-9, atol=1e-11)


def assert_same_rows(table, other):
    """Compare gradients tables up to the rounding that other packs bring."""
    plain = ["problem_id", "status", "num_rollouts", "num_tokens", "resampled_counts"]
    assert table.select(plain).equals(other.select(plain))
    for a, b in zip(table.to_pylist(), other.to_pylist(), strict=True):
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
        if a["sketch"] is not None:
            x, y = (from_bytes(row["sketch"]).astype(float) for row in (a, b))
            np.testing.assert_allclose(x, y, rtol=5e-3, atol=1e-3 * np.abs(y).max())


def test_a_row_does_not_depend_on_its_neighbours():
    tables = make_problems()
    model = tiny_model("llama", torch.float32)
    whole = engine(model).rows(*tables)
    subject = engine(tiny_model("llama", torch.float32))
    for i in reversed(range(len(tables[0]))):
        assert_same_rows(subject.rows(tables[0].slice(i, 1), *tables[1:]), whole.slice(i, 1))


def test_resampled_row_is_the_gradient_of_the_resample():
    tables = make_problems()
    subject = engine(tiny_model("qwen2"))
    row = subject.rows(*tables, resample_ids=frozenset({"p3"})).to_pylist()[3]
    assert sum(row["resampled_counts"]) == 4
    responses, rewards = group_of(tables, "p3")
    index = np.repeat(np.arange(4), row["resampled_counts"])
    drawn = Group([responses[i] for i in index], [rewards[i] for i in index])
    if len(set(drawn.rewards)) == 1:
        assert row["resampled_sketch"] is None
        return
    again = subject.gradient(tables[0]["prompt_ids"].to_pylist()[3], drawn)
    norm, sketch = expected_row(subject, again)
    np.testing.assert_allclose(
        from_bytes(row["resampled_sketch"]), sketch / norm, rtol=1e-3, atol=1e-6
    )


def test_bfloat16_model_sums_in_float32():
    tables = make_problems()
    rounded_weights = tiny_model("llama", torch.bfloat16)
    exact = engine(rounded_weights.to(torch.float32)).rows(*tables)
    rounded = engine(tiny_model("llama", torch.bfloat16), token_budget=1).rows(*tables)
    subject = engine(tiny_model("llama", torch.bfloat16))
    tensors = subject.gradient([3, 4, 5], Group([[6], [7]], [1.0, 0.0]))
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    for a, b in zip(exact.to_pylist(), rounded.to_pylist(), strict=True):
        if a["sketch"] is not None:
            x, y = (from_bytes(row["sketch"]).astype(float) for row in (a, b))
            assert x @ y / np.linalg.norm(x) / np.linalg.norm(y) > 0.95


def test_nan_in_the_model_sets_the_problem_aside():
    model = tiny_model("llama", torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    problems = pa.Table.from_pylist(
        [{"problem_id": "sick", "prompt_ids": [5, 7]}, {"problem_id": "well", "prompt_ids": [5, 6]}]
    )
    rollouts = pa.Table.from_pylist(
        [
            {"problem_id": p, "sample": g, "token_ids": [8 + g]}
            for p in ("sick", "well")
            for g in (0, 1)
        ]
    )
    verdicts = pa.Table.from_pylist(
        [
            {"problem_id": p, "sample": g, "reward": float(g)}
            for p in ("sick", "well")
            for g in (0, 1)
        ]
    )
    sick, well = engine(model).rows(problems, rollouts, verdicts).to_pylist()
    assert (sick["status"], sick["gradient_norm"], sick["sketch"]) == ("nonfinite", None, None)
    assert well["status"] == "ok"
    assert np.isfinite(from_bytes(well["sketch"])).all()


def test_lora_gradient_is_that_of_the_adapter():
    pytest.importorskip("peft")
    subject = engine(tiny_model("llama"), parameters="lora", lora_rank=2)
    tensors = subject.gradient([3, 4, 5], Group([[6, 8], [7]], [1.0, 0.0]))
    assert all("lora_" in name for name in tensors)
    assert any(t.abs().sum() > 0 for name, t in tensors.items() if "lora_B" in name)
    assert not any(t.abs().sum() > 0 for name, t in tensors.items() if "lora_A" in name)
