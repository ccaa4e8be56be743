"""Sketches of a step's groups: the projection of each group's own gradient by plain autograd."""

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from gradients.test_device import Waits
from gradients.test_families import build
from helpers.tiny_models import tiny_model
from learnalign.config import GradientConfig, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.gradients.engine import Group
from learnalign.gradients.group_sketches import GroupSketcher, spread_layers
from learnalign.gradients.layout import lay_out
from learnalign.gradients.objective import advantages
from learnalign.gradients.parameters import Weight, select_weights
from learnalign.gradients.tasks import make_task
from learnalign.training.learner import Learner

TEMPERATURE, MOST, WIDTH = 0.9, 9, 5


def batch(seed=0, count=4):
    """Groups of four responses, of which the second group has no signal."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(3, 61, size=rng.integers(2, 9)).tolist() for _ in range(count)]
    groups = [
        Group(
            [rng.integers(3, 61, size=rng.integers(1, 9)).tolist() for _ in range(4)],
            [0.0, 1.0, 1.0, float(rng.integers(2))],
        )
        for _ in range(count)
    ]
    groups[1].rewards = [1.0] * 4
    return prompts, groups


def linear(weights, **options):
    return GroupSketcher(weights, width=WIDTH, balanced=False, **options)


def learner(model, sketcher, *, beta=0.0, reference=None, loss="grpo"):
    return Learner(
        model,
        TrainingConfig(learning_rate=1e-3, kl_beta=beta, max_grad_norm=0.0),
        GradientConfig(loss=loss),
        temperature=TEMPERATURE,
        max_tokens=MOST,
        num_steps=4,
        reference=reference,
        sketcher=sketcher,
    )


def weights_of(model):
    return [weight for weight in select_weights(model, "linear") if weight.module is not None]


def logprobs(model, prompt, response):
    logits = model(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits[0]
    places = torch.arange(len(prompt) - 1, len(prompt) + len(response) - 1)
    return (logits / TEMPERATURE).log_softmax(-1)[places, response]


def own_loss(model, reference, prompts, groups, index, *, beta=0.0, loss="grpo"):
    """Compute what one group adds to the loss of the batch, sequence by sequence."""
    tokens = sum(sum(group.lengths) for group in groups)
    prompt, group, total = prompts[index], groups[index], 0.0
    for response, advantage in zip(group.responses, advantages(group.rewards), strict=True):
        own = logprobs(model, prompt, response)
        terms = -advantage * (own - own.detach()).exp()
        if beta:
            gap = logprobs(reference, prompt, response).detach() - own
            terms = terms + beta * (gap.exp() - gap - 1)
        if loss == "dapo":
            total = total + terms.sum() / tokens
        else:
            total = total + terms.mean() / (4 * len(groups))
    return total


def projected_gradients(sketcher, losses):
    """Project each loss's full weight gradients, layer by layer; one row per loss."""
    rows = []
    parameters = [weight.parameter for weight in sketcher.weights]
    for loss in losses:
        blocks = []
        for weight, (left, right), gradient in zip(
            sketcher.weights,
            sketcher.projections,
            torch.autograd.grad(loss, parameters),
            strict=True,
        ):
            gradient = gradient.T if weight.transposed else gradient
            blocks.append((left.T @ gradient @ right / sketcher.width).reshape(-1))
        rows.append(torch.cat(blocks).detach().numpy())
    return np.stack(rows)


def own_rows(subject, reference, indices, **options):
    """Compute the expected sketches of groups on a sketcher's own model, before the step."""
    model, sketcher = subject.model, subject.sketcher
    flags = [(p, p.requires_grad) for p in model.parameters()]
    model.requires_grad_(True)
    rows = projected_gradients(
        sketcher, [own_loss(model, reference, *batch(), i, **options) for i in indices]
    )
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    return rows


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "sliding", "gemma"])
def test_a_sketch_is_the_projection_of_the_groups_own_gradient(name):
    model = tiny_model(name).requires_grad_(True)
    subject = learner(model, linear(weights_of(model), seed=3))
    expected = own_rows(subject, None, [0, 2, 3])
    found = subject.step(*batch()).sketches
    assert found.groups.tolist() == [0, 2, 3]  # the second has no gradient
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("loss", "beta"), [("grpo", 0.3), ("dapo", 0.0), ("dapo", 0.3)])
def test_weights_are_those_of_the_loss(loss, beta):
    model, reference = tiny_model("llama").requires_grad_(True), tiny_model("llama", seed=1)
    sketcher = linear(spread_layers(model))
    subject = learner(model, sketcher, beta=beta, reference=reference, loss=loss)
    # With a KL term the group of equal rewards has a gradient too.
    indices = [0, 1, 2, 3] if beta else [0, 2, 3]
    expected = own_rows(subject, reference, indices, beta=beta, loss=loss)
    found = subject.step(*batch()).sketches
    assert found.groups.tolist() == indices
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-7)


def test_balanced_layers_have_equal_norms():
    """Cosines are the means of the layers' cosines, and norms are those of the linear sketch."""
    model = tiny_model("llama").requires_grad_(True)
    weights = weights_of(model)
    subject = learner(model, GroupSketcher(weights, width=WIDTH))
    blocks = own_rows(subject, None, [0, 2, 3]).reshape(3, len(weights), -1)
    found = subject.step(*batch()).sketches.values.astype(float)
    norms = np.linalg.norm(blocks, axis=2)
    assert norms.max() > 3 * norms.min()
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), np.linalg.norm(norms, axis=1), rtol=1e-5
    )
    units = blocks / norms[:, :, None]
    cosines = np.einsum("ilv,jlv->ij", units, units) / len(weights)
    rows = found / np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(rows @ rows.T, cosines, atol=1e-5)


def test_a_layer_without_a_gradient_is_zero():
    """Of a group whose tokens do not pass through it, for instance."""
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    weights = [Weight("first", first.weight, first), Weight("second", second.weight, second)]
    sketcher = GroupSketcher(weights, width=2)
    sketcher.start(1)
    with sketcher.sketching(lay_out([make_task(0, [5, 6], [[9]], [1.0])], shared=True)):
        (first(torch.ones(2, 3)) * torch.tensor([1.0, 2.0])).sum().backward()
    ((*one, a, b, c, d),) = sketcher.finish([0]).values.tolist()
    assert any(one)
    assert [a, b, c, d] == [0.0] * 4


def test_the_second_step_forgets_the_first():
    model = tiny_model("llama").requires_grad_(True)
    subject = learner(model, linear(spread_layers(model)))
    subject.step(*batch(1))
    expected = own_rows(subject, None, [0, 2, 3])
    np.testing.assert_allclose(
        subject.step(*batch()).sketches.values, expected, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_an_adapted_layer_is_sketched_by_its_base(beta):
    """The gradient at the frozen weight of a layer with LoRA; its reference lacks the adapter."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"])
    base = tiny_model("llama")
    reference = copy.deepcopy(base)
    model = peft.get_peft_model(base, config).to(torch.float64)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    weights = spread_layers(model)
    assert [w.name.rsplit(".", 3)[1] for w in weights] == ["down_proj"] * 2
    subject = learner(model, linear(weights), beta=beta)
    indices = [0, 1, 2, 3] if beta else [0, 2, 3]
    expected = own_rows(subject, reference, indices, beta=beta)
    assert not weights[0].parameter.requires_grad
    np.testing.assert_allclose(
        subject.step(*batch()).sketches.values, expected, rtol=1e-5, atol=1e-7
    )


def test_a_model_without_shared_prompts():
    model = build("Bloom").requires_grad_(True)
    subject = learner(model, linear(weights_of(model)))
    assert not subject.shared
    expected = own_rows(subject, None, [0, 2, 3])
    found = subject.step(*batch()).sketches.values
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("budget", [4, 12, 30])
def test_packs_of_any_size_and_checkpointed_layers(budget):
    """Groups split into several packs, and layers that run twice, add up to the same."""
    model = tiny_model("llama").requires_grad_(True)
    subject = learner(model, linear(weights_of(model)))
    expected = own_rows(subject, None, [0, 2, 3])
    subject.budget = budget
    found = subject.step(*batch()).sketches.values
    assert subject.checkpointed == (budget == 4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_memory_that_runs_out_counts_nothing_twice():
    model = tiny_model("llama").requires_grad_(True)
    subject = learner(model, linear(spread_layers(model)))
    expected = own_rows(subject, None, [0, 2, 3])
    run, failed = subject.backward, []

    class Limited:
        def __call__(self, pack):
            run(pack)
            if pack.num_tokens > 30:  # too late: the sketches have been summed already
                failed.append(pack.num_tokens)
                raise torch.OutOfMemoryError("CUDA out of memory")

    subject.backward = Limited()
    found = subject.step(*batch()).sketches.values
    assert failed
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_step_is_the_same_with_sketches(dtype):
    with_sketches, without = (tiny_model("llama", dtype).requires_grad_(True) for _ in range(2))
    subject = learner(with_sketches, GroupSketcher(spread_layers(with_sketches)))
    assert learner(without, None).step(*batch()).sketches is None
    found = subject.step(*batch()).sketches
    assert np.isfinite(found.values).all()
    assert (np.abs(found.values).sum(1) > 0).all()
    for one, other in zip(with_sketches.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)


def test_bfloat16_agrees_with_float32():
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        model = tiny_model("llama", dtype).requires_grad_(True)
        subject = learner(model, GroupSketcher(spread_layers(model), width=16))
        rows.append(subject.step(*batch()).sketches.values.astype(float))
    one, other = rows
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.9


def test_sketching_does_not_make_the_host_wait():
    model = tiny_model("llama").requires_grad_(True)
    sketcher = GroupSketcher(spread_layers(model))
    subject = learner(model, sketcher)
    pack = lay_out(subject._tasks(*batch()), shared=True, dtype=torch.float64)
    found = []
    for manager in (nullcontext(), sketcher.sketching(pack)):
        with Waits() as waits:
            sketcher.start(4)
            with manager:
                subject.backward(pack)
        found.append(waits.found)
    assert found[0] == found[1]
    assert np.abs(sketcher.finish([0]).values).sum() > 0


def test_inner_products_are_unbiased():
    """Averaged over seeds, inner products of sketches are those of the gradients."""
    layer = torch.nn.Linear(12, 7, bias=False, dtype=torch.float64)
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([layer])})
    (weight,) = spread_layers(model, width=4)
    one, other = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0)).double()
    other = one + 0.5 * other
    found = []
    for seed in range(1500):
        ((left, right),) = GroupSketcher([weight], width=4, seed=seed).projections
        found.append(float(((left.T @ one @ right) * (left.T @ other @ right)).sum()) / 4**2)
    error = np.std(found) / len(found) ** 0.5
    assert np.mean(found) == pytest.approx(float((one * other).sum()), abs=4 * error)


def test_layers_are_spread_over_the_depth():
    blocks = [
        torch.nn.ModuleDict({"up": torch.nn.Linear(2, 3), "down": torch.nn.Linear(3, 2)})
        for _ in range(30)
    ]
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList(blocks)})
    names = [weight.name for weight in spread_layers(model, 4, width=2)]
    assert names == [f"layers.{block}.down.weight" for block in (3, 11, 18, 26)]
    assert len(spread_layers(model, 99, width=2)) == 30
    experts = [weight.name for weight in spread_layers(tiny_model("mixtral"))]
    assert [name.split(".")[2] for name in experts] == ["0", "1"]
    with pytest.raises(LearnAlignError, match="found no block with a linear layer"):
        spread_layers(torch.nn.ModuleDict({"only": torch.nn.Linear(2, 2)}))
    with pytest.raises(LearnAlignError, match="at least 16 inputs and outputs"):
        spread_layers(model)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("Qwen2Moe", "mlp.shared_expert.down_proj.weight"),
        ("Qwen3Moe", "self_attn.o_proj.weight"),
        ("Mixtral", "self_attn.o_proj.weight"),
    ],
)
def test_gates_of_experts_are_not_sketched(name, end):
    """A shared expert's gate is the last layer of Qwen2-MoE's blocks, and has one output."""
    sketched = spread_layers(build(name))
    assert [weight.name for weight in sketched] == [f"model.layers.{b}.{end}" for b in (0, 1)]
    assert all(min(weight.shape) >= 16 for weight in sketched)
