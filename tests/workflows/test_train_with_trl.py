"""TRL's trainer behind the same verb: the same rollouts, options that the installed TRL knows."""

from dataclasses import fields

import pyarrow.compute as pc
import pytest
import torch

from helpers.digits import digits_model
from helpers.sums_run import QUIET
from helpers.sums_run import configure_training as configure
from learnalign.config import ModelConfig, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.models.loading import load_model, load_tokenizer
from learnalign.training.trl_options import grpo_options
from learnalign.verifying import rewards
from learnalign.workflows.train import train
from workflows.test_train import assert_same_history

trl = pytest.importorskip("trl")


def options(sums, out, **more):
    return configure(
        sums, out, training__trainer="trl", training__dtype="float32", training__steps=2,
        training__save_every=1, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(sums, tmp_path_factory):
    return train(options(sums, tmp_path_factory.mktemp("trl") / "t"), progress=QUIET)


def test_both_trainers_see_the_same_rollouts(undisturbed, sums, tmp_path):
    config = options(sums, tmp_path / "native")
    native = config.training.model_copy(update={"trainer": "native"})
    ours = train(config.model_copy(update={"training": native}), progress=QUIET)
    first = [
        done.history().filter(pc.equal(done.history()["step"], 0)) for done in (ours, undisturbed)
    ]
    assert first[0].drop(["logprobs"]).equals(first[1].drop(["logprobs"]))
    steps = [done.steps.to_pylist() for done in (ours, undisturbed)]
    assert len(steps[0]) == len(steps[1]) == 2
    names = ("num_problems", "num_signal", "mean_reward", "mean_tokens", "share_truncated")
    assert [steps[0][0][n] for n in names] == [steps[1][0][n] for n in names]
    for one, other in zip(*steps, strict=True):
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=2e-2)


@pytest.mark.slow
def test_resumed_equals_undisturbed(undisturbed, sums, tmp_path, monkeypatch):
    from learnalign.verifying.verifier import Verifier

    calls, verify = [], Verifier.verify

    def failing(self, *arguments):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return verify(self, *arguments)

    monkeypatch.setattr(Verifier, "verify", failing)
    out = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        train(options(sums, out), progress=QUIET)
    assert (out / "checkpoints" / "checkpoint-1").is_dir()
    train(options(sums, out), progress=QUIET)
    assert len(calls) == 3
    assert_same_history(out, undisturbed.path)


def test_every_option_is_one_of_the_installed_trls(sums, tmp_path):
    known = {field.name for field in fields(trl.GRPOConfig)}
    given = options(sums, tmp_path, training__trl={"top_entropy_quantile": 0.5})
    made = grpo_options(given, 3, tmp_path)
    assert set(made) <= known
    assert made["top_entropy_quantile"] == 0.5
    config = trl.GRPOConfig(**made)
    assert config.generation_batch_size == 3 * 4
    assert (config.beta, config.epsilon, config.loss_type) == (0.0, 0.2, "grpo")
    # The recipe is the paper's (arXiv 2506.11480), whatever TRL's own defaults become.
    ours = TrainingConfig()
    assert (ours.learning_rate, ours.kl_beta, ours.clip) == (1e-6, 0.04, 0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_iteration": 2}, "num_iterations"),
        ({"beta": 0.1}, "training.kl_beta"),
    ],
)
def test_wrong_options_are_refused(sums, tmp_path, wrong, message):
    with pytest.raises(LearnAlignError, match=message):
        grpo_options(options(sums, tmp_path, training__trl=wrong), 3, tmp_path)


#: Problem, gold, a right answer and a wrong one.
MIXED = [
    ("What is 7 + 8?", "15", "It is 15.", "It is 16."),
    ("A quarter of 3?", "\\frac{3}{4}", "So 0.75", "So 4/3"),
    ("Which is odd?\n(A) 3\n(B) 8\n(C) 6", "A", "It is (A).", "It is (B)."),
    ("Is 9 prime? Answer yes or no.", "no", "Answer: No", "Answer: yes"),
]


@pytest.fixture(scope="module")
def auto_in_a_trainer(tmp_path_factory):
    """Let TRL's trainer call `rewards.auto`, about right and wrong answers in turn."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("auto")
    model = ModelConfig(path=str(digits_model(folder / "model")), device="cpu")
    answers = {prompt: [right, wrong] for prompt, _, right, wrong in MIXED}
    seen = {}

    def auto(prompts, completions, **others):
        places = [prompts[:place].count(prompt) for place, prompt in enumerate(prompts)]
        texts = [answers[prompt][place] for prompt, place in zip(prompts, places, strict=True)]
        found = rewards.auto(prompts=prompts, completions=texts, **others)
        for prompt, reward in zip(prompts, found, strict=True):
            seen.setdefault(prompt, []).append(reward)
        return found

    config = trl.GRPOConfig(
        output_dir=str(folder / "out"), max_steps=1, num_generations=2, max_completion_length=2,
        per_device_train_batch_size=8, use_cpu=True, bf16=False, report_to=[],
        save_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    rows = {"prompt": [case[0] for case in MIXED], "solution": [case[1] for case in MIXED]}
    trl.GRPOTrainer(
        model=load_model(model, dtype=torch.float32),
        reward_funcs=auto,
        args=config,
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=load_tokenizer(model),
    ).train()
    return seen


def test_auto_rewards_numbers_and_expressions_in_trls_trainer(auto_in_a_trainer):
    for prompt, *_ in MIXED[:2]:
        assert auto_in_a_trainer[prompt] == [1.0, 0.0]


def test_auto_rewards_choices_and_words_in_trls_trainer(auto_in_a_trainer):
    for prompt, *_ in MIXED[2:]:
        assert auto_in_a_trainer[prompt] == [1.0, 0.0]


@pytest.mark.slow
def test_trls_own_sampling(sums, tmp_path):
    config = options(sums, tmp_path / "t", training__sampling="trl", rollouts__stop=())
    done = train(config, progress=QUIET)
    assert done.history().num_rows == 2 * 3 * 4
    assert set(done.history()["finish_reason"].to_pylist()) <= {"stop", "length"}
