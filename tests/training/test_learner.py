"""The learner's step: gradients added up to the loss's own, master copies, memory that runs out."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from helpers.tiny_models import tiny_model
from learnalign.config import GradientConfig, RolloutConfig, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.gradients.engine import Group
from learnalign.gradients.objective import advantages
from learnalign.rollouts.transformers import TransformersEngine
from learnalign.training.checkpoint import load_checkpoint, save_checkpoint
from learnalign.training.learner import Learner
from learnalign.training.master_weights import MasterWeights

TEMPERATURE, MOST = 0.9, 9


def batch(seed=0, count=4):
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(3, 61, size=rng.integers(1, 9)).tolist() for _ in range(count)]
    groups = [
        Group(
            [rng.integers(3, 61, size=rng.integers(1, 9)).tolist() for _ in range(4)],
            rng.integers(0, 2, size=4).astype(float).tolist(),
        )
        for _ in range(count)
    ]
    groups[1].rewards = [1.0] * 4
    return prompts, groups


def learner(model, dtype=None, reference=None, **options):
    training = TrainingConfig(
        **{"learning_rate": 1e-3, "kl_beta": 0.0, "max_grad_norm": 0.0, **options}
    )
    return Learner(
        model,
        training,
        GradientConfig(),
        temperature=TEMPERATURE,
        max_tokens=MOST,
        num_steps=4,
        reference=reference,
    )


def slow_step(model, reference, beta, rate=1e-3):
    """Descend TRL's loss, sequence by sequence, with torch's own AdamW."""
    prompts, groups = batch()
    loss = torch.zeros((), dtype=torch.float64)
    for prompt, group in zip(prompts, groups, strict=True):
        for response, advantage in zip(group.responses, advantages(group.rewards), strict=True):
            own, other = (
                m(input_ids=torch.tensor([[*prompt, *response]]), use_cache=False).logits[0]
                for m in (model, reference)
            )
            places = torch.arange(len(prompt) - 1, len(prompt) + len(response) - 1)
            own, other = ((x / TEMPERATURE).log_softmax(-1)[places, response] for x in (own, other))
            gap = other.detach() - own
            kl = gap.exp() - gap - 1
            loss = loss - (advantage * (own - own.detach()).exp() - beta * kl).mean()
    loss = loss / (len(prompts) * 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    loss.backward()
    optimizer.step()
    return model


@pytest.mark.parametrize("name", ["llama", "gemma", "mixtral", "sliding"])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_step_is_that_of_the_loss(name, beta):
    reference = tiny_model(name, seed=1)
    truth = slow_step(tiny_model(name).requires_grad_(True), tiny_model(name, seed=1), beta)
    ours = tiny_model(name).requires_grad_(True)
    done = learner(ours, reference=reference, kl_beta=beta).step(*batch())
    assert (done.kl is None) == (beta == 0.0)
    assert done.learning_rate == 1e-3
    for (key, a), (_, b) in zip(ours.named_parameters(), truth.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=key)


def test_memory_that_runs_out_changes_nothing():
    expected, subject = (tiny_model("llama").requires_grad_(True) for _ in range(2))
    learner(expected).step(*batch())
    small, sizes = learner(subject), []
    run = small.backward

    def limited(pack):
        run(pack)
        sizes.append(pack.num_tokens)
        if pack.num_tokens > 30:
            # Too late: the gradients are in already, and must not count twice.
            raise torch.OutOfMemoryError("CUDA out of memory")

    small.backward = limited
    small.step(*batch())
    assert max(sizes) > 30 >= sizes[-1]
    for a, b in zip(subject.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    small.backward = type(
        "None", (), {"__call__": lambda *_: 1 / 0, "checkpoint": lambda _: True}
    )()
    with pytest.raises(ZeroDivisionError):
        small.step(*batch())


def test_checkpointed_layers_learn_the_same_and_sample_with_a_cache():
    """A response longer than the budget makes layers run again; sampling must not notice."""
    expected, subject = (tiny_model("llama").requires_grad_(True) for _ in range(2))
    plain, short = learner(expected), learner(subject)
    short.budget = 4
    for _ in range(2):
        plain.step(*batch())
        short.step(*batch())
        assert short.checkpointed
        engine, other = (
            TransformersEngine(
                m, FakeTokenizer(), RolloutConfig(num_rollouts=2, max_tokens=6), seed=0
            )
            for m in (subject, expected)
        )
        pool = pa.Table.from_pylist([{"problem_id": "a", "prompt_ids": [5, 6, 7]}])
        assert engine.sample(pool)["token_ids"] == other.sample(pool)["token_ids"]
    for a, b in zip(subject.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


class FakeTokenizer:
    """Enough of a tokenizer to sample without text."""

    eos_token_id, pad_token_id = 2, 0

    def batch_decode(self, rows, **_):
        return ["" for _ in rows]


def test_a_response_that_never_fits_says_so():
    subject = learner(tiny_model("llama").requires_grad_(True))
    checkpoint = subject.backward.checkpoint

    class Full:
        def __call__(self, pack):
            raise torch.OutOfMemoryError("CUDA out of memory")

        def checkpoint(self):
            return checkpoint()

    subject.backward = Full()
    with pytest.raises(LearnAlignError, match="memory ran out on a single response"):
        subject.step(*batch())


def test_steps_smaller_than_bfloat16_are_kept_in_the_masters():
    layer = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.constant_(layer.weight, 0.75 + 1e-5)
    masters = MasterWeights(layer, torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16
    assert masters.named["weight"][0, 0].item() == pytest.approx(0.75 + 1e-5, abs=1e-7)
    optimizer = torch.optim.SGD(list(masters.named.values()), lr=1e-4)
    for _ in range(200):
        layer(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
        optimizer.step()
        masters.write_back()
        masters.clear_gradients()
    # One step is far below bfloat16's spacing there: without masters nothing would ever move.
    assert float(torch.tensor(0.75 - 1e-4).to(torch.bfloat16)) == 0.75
    torch.testing.assert_close(layer.weight.float(), torch.full((4, 4), 0.73), atol=2e-3, rtol=0)
    masters.widen()
    assert layer.weight.dtype == torch.float32


def test_a_step_without_signal_moves_by_momentum_as_adamw_does():
    ours = tiny_model("llama").requires_grad_(True)
    subject = learner(ours)
    subject.step(*batch())
    before = [p.detach().clone() for p in ours.parameters()]
    prompts, groups = batch()
    for group in groups:
        group.rewards = [0.0] * 4
    assert subject.step(prompts, groups).gradient_norm == 0.0
    assert any(not torch.equal(p, b) for p, b in zip(ours.parameters(), before, strict=True))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_checkpoint_goes_on_to_the_last_bit(tmp_path, schedule):
    straight, broken, resumed = (
        learner(tiny_model("llama", torch.float32).requires_grad_(True), schedule=schedule)
        for _ in range(3)
    )
    rates = [straight.step(*batch(seed)).learning_rate for seed in range(4)]
    assert rates[0] > rates[-1] > 0
    for seed in range(2):
        broken.step(*batch(seed))
    save_checkpoint(tmp_path / "step-2", broken)
    load_checkpoint(tmp_path / "step-2", 2, resumed)
    assert [resumed.step(*batch(seed)).learning_rate for seed in (2, 3)] == rates[2:]
    for a, b in zip(resumed.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]
    (tmp_path / "step-2" / "moments.safetensors").write_bytes(bytes(99))
    for name in ("step-2", "step-4"):
        with pytest.raises(LearnAlignError, match="cannot resume from"):
            load_checkpoint(tmp_path / name, 2, resumed)
