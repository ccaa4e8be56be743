"""Packs of any size, split, shrunk, checkpointed, preconditioned: the same rows."""

import numpy as np
import pytest
import torch

from gradients.test_engine import SEED, slow_gradient
from helpers.tiny_models import tiny_model
from learnalign import LearnAlignError
from learnalign.config import GradientConfig
from learnalign.gradients import memory, preconditioning
from learnalign.gradients.collector import Collector
from learnalign.gradients.parameters import select_weights
from learnalign.gradients.policy import PolicyGradients
from learnalign.gradients.tasks import group_tasks, make_task


def policy(name="llama", dtype=torch.float64, **options):
    config = GradientConfig(**{"sketch_size": 64, "input_width": 8, **options})
    return PolicyGradients(tiny_model(name, dtype), config, temperature=0.9, seed=SEED)


def problems(seed=0, count=6):
    rng = np.random.default_rng(seed)
    return [
        (
            rng.integers(3, 61, size=rng.integers(1, 14)).tolist(),
            [rng.integers(3, 61, size=rng.integers(1, 9)).tolist() for _ in range(5)],
            rng.normal(size=5).tolist(),
        )
        for _ in range(count)
    ]


def assert_same(rows, others):
    for a, b in zip(rows, others, strict=True):
        assert a.norm == pytest.approx(b.norm, rel=1e-9)
        np.testing.assert_allclose(a.sketch, b.sketch, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ["llama", "mixtral", "sliding", "gpt2"])
def test_budget_and_neighbours_do_not_matter(name):
    some = problems()
    one_by_one = [policy(name)([problem])[0] for problem in some]
    for budget in (1, 7, 23, 60, 10_000):
        assert_same(one_by_one, policy(name, token_budget=budget)(some))


def test_every_problem_is_reported_once():
    done = []
    policy(token_budget=9)(problems(), done=done.append)
    assert sorted(done) == list(range(6))


def test_problem_whose_weights_cancel_has_no_gradient():
    (row,) = policy()([([3, 4], [[5, 6], [5, 6]], [1.0, -1.0])])
    assert (row.norm, row.sketch.any()) == (0.0, False)


@pytest.mark.parametrize("limit", [40, 12, 6])
def test_memory_that_runs_out_halves_the_budget_and_loses_nothing(limit):
    expected = policy()(problems())
    subject = policy(token_budget=1000)
    run, seen = subject.backward, []

    def small(pack):
        seen.append(pack.num_tokens)
        if pack.num_tokens > limit:
            # Half-way: some layers have been read off already.
            hook = subject.backward.model.model.layers[0].register_full_backward_hook(fail)
            try:
                run(pack)
            finally:
                hook.remove()
        run(pack)

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    subject.backward = type("Small", (), {"__call__": lambda self, pack: small(pack)})()
    subject.backward.model, subject.backward.checkpoint = run.model, run.checkpoint
    if limit == 6:  # one response with its prompt is longer
        with pytest.raises(LearnAlignError, match=r"memory ran out on a single response"):
            subject(problems())
        assert subject.checkpointed
        return
    if limit == 12:
        some = [p for p in problems() if len(p[0]) < 5]
        assert_same(policy()(some), subject(some))
    else:
        assert_same(expected, subject(problems()))
    assert max(seen) > limit
    assert subject.budget < 1000


def test_other_errors_are_not_taken_for_memory():
    subject = policy()
    subject.backward = lambda pack: (_ for _ in ()).throw(RuntimeError("shapes"))
    with pytest.raises(RuntimeError, match="shapes"):
        subject(problems())


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "mixtral"])
def test_checkpointed_layers_give_the_same_rows(name):
    plain, subject = policy(name), policy(name)
    assert subject.backward.checkpoint()
    calls = {}
    for label, some in (("plain", plain), ("checkpointed", subject)):
        module = next(w.module for w in some.collector.weights if w.module is not None)
        calls[label] = 0
        module.register_forward_hook(lambda *_, at=label: calls.update({at: calls[at] + 1}))
    assert_same(plain(problems()), subject(problems()))
    assert calls["checkpointed"] == 2 * calls["plain"]
    modules = subject.backward.model.modules()
    assert not any(m.training for m in modules if "Drop" in type(m).__name__)


def test_responses_longer_than_the_budget_are_checkpointed():
    subject = policy(token_budget=6)
    assert_same(policy()(problems()), subject(problems()))
    assert subject.checkpointed
    assert not policy(token_budget=1000).checkpointed


def test_budget_comes_from_the_free_memory(monkeypatch):
    device = torch.device("cpu")
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1_000_000_000)
    assert memory.find_budget(device, 400_000) == 1000
    assert memory.find_budget(device, 1) == 2048
    assert memory.find_budget(device, 1 << 40) == 256
    monkeypatch.undo()
    assert memory.free_bytes(device) > 1 << 20


def test_items_are_grouped_under_the_budget():
    items = [make_task(i, p, r, w) for i, (p, r, w) in enumerate(problems(count=9))]
    packs = group_tasks(items, 30)
    assert all(sum(item.num_tokens for item in pack) <= 30 or len(pack) == 1 for pack in packs)
    # Several items stay below what is enough; a single one stays whole up to the budget.
    few = group_tasks(items, 30, enough=20)
    sizes = [sum(item.num_tokens for item in pack) for pack in few]
    assert all(size <= 20 or len(pack) == 1 for size, pack in zip(sizes, few, strict=True))
    assert max(sizes) > 20
    assert [i.key for pack in few for i in pack] == [i.key for pack in packs for i in pack]
    weights = {}
    for pack in packs:
        for item in pack:
            for response, weight in zip(item.responses, item.weights, strict=True):
                weights[item.key, response] = weights.get((item.key, response), 0.0) + weight
    for item in items:
        for response, weight in zip(item.responses, item.weights, strict=True):
            assert weights.pop((item.key, response)) == weight
    assert not weights
    assert sorted(item.key for pack in packs for item in pack if item.last) == list(range(9))


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_preconditioned_gradient_is_divided_by_adams_root(name, tmp_path):
    prompt, responses = [3, 4, 5], [[6, 8], [7]]
    model = tiny_model(name)
    truth = slow_gradient(model, prompt, responses, [1.0, 0.0], "grpo", "group")
    chosen = [(n, p) for n, p in model.named_parameters() if n in truth]
    for _, parameter in model.named_parameters():
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.AdamW([p for _, p in chosen], lr=1e-9)
    optimizer.step()
    moments = preconditioning.moments_of(optimizer, chosen)
    path = tmp_path / "moments.safetensors"
    preconditioning.write_moments(path, moments)
    subject = policy(name, preconditioner=path, input_width=0)
    weights = [0.5 / (1e-4 + 0.5**0.5) / 4, -0.5 / (1e-4 + 0.5**0.5) / 2]
    for n, ours in subject.exact(prompt, responses, weights).items():
        matrix = moments[n].float().double().reshape(-1, moments[n].shape[-1])
        rows, columns = matrix.mean(1, keepdim=True), matrix.mean(0, keepdim=True)
        root = (rows * columns / matrix.mean()).sqrt().reshape(moments[n].shape)
        plain = policy(name, input_width=0).exact(prompt, responses, weights)[n]
        torch.testing.assert_close(ours, plain / root, rtol=1e-5, atol=1e-9)


def test_preconditioner_of_another_model_is_refused(tmp_path):
    path = tmp_path / "moments.safetensors"
    preconditioning.write_moments(path, {"other.weight": torch.ones(2, 2)})
    with pytest.raises(LearnAlignError, match=r"has no moments of model\.layers\.0"):
        policy(preconditioner=path)
    with pytest.raises(LearnAlignError, match="got no file"):
        policy(preconditioner=tmp_path / "none.safetensors")
    with pytest.raises(LearnAlignError, match="has no second moments"):
        preconditioning.moments_of(torch.optim.SGD([torch.nn.Parameter(torch.ones(2))]), [])


def test_each_layer_weighs_what_its_gradient_weighs():
    """Projected products of one layer are unbiased, whatever its shape: no layer is favoured."""
    model = tiny_model("llama")
    exact = policy(input_width=0)
    one, other = (exact.exact(*problem) for problem in problems(count=2))
    weights = select_weights(tiny_model("llama"), "linear")
    found = {w.name: [] for w in weights}
    for seed in range(400):
        collector = Collector(weights, model, input_width=4, seed=seed, dtype=torch.float64)
        for w, signs, scale in zip(weights, collector.projections, collector.scales, strict=True):
            a, b = (g[w.name] @ signs * scale for g in (one, other))
            found[w.name].append(float((a * b).sum()))
    for w in weights:
        true = float((one[w.name] * other[w.name]).sum())
        values = np.array(found[w.name])
        assert abs(values.mean() - true) < 4.5 * values.std() / len(values) ** 0.5


def test_quantised_layers_are_refused():
    model = tiny_model("llama", torch.float32)
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(
        torch.zeros(24, 16, dtype=torch.int8), requires_grad=False
    )
    with pytest.raises(LearnAlignError, match=r"(?s)quantised.*layers\.0\.mlp\.up_proj.*lora"):
        select_weights(model, "linear")
    pytest.importorskip("peft")
    model = tiny_model("llama", torch.float32)
    model.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(LearnAlignError, match="quantised"):
        select_weights(model, "linear")
    assert all("lora_" in weight.name for weight in select_weights(model, "lora"))
