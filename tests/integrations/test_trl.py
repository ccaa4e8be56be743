"""Curricula in real trainings with TRL: what was sampled, observed and resumed."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.curricula import keeping
from helpers.digits import digits_model
from helpers.trainer_docs import shown_lines
from learnalign.config import ModelConfig
from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.integrations.trl import STATE_FILE, CurriculumMixin
from learnalign.models.loading import load_model, load_tokenizer

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

#: Rollouts of a problem, and what the problems are.
GROUP = 4
SUMS = [(a, b) for a in range(10) for b in range(10 - a)][:16]
PROMPTS = [f"{a}+{b}=" for a, b in SUMS]


class Grpo(CurriculumMixin, trl.GRPOTrainer):
    """Records which prompts the loss is computed of."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        ids = inputs["prompt_ids"].masked_fill(inputs["prompt_mask"] == 0, 0)
        self.__dict__.setdefault("learned", []).extend(
            text.replace(" ", "")
            for text in self.processing_class.batch_decode(ids, skip_special_tokens=True)
        )
        return super().compute_loss(model, inputs, *args, **kwargs)


class Rloo(CurriculumMixin, trl.RLOOTrainer):
    """Another trainer of TRL, of the same form."""


def is_right(prompt, completion):
    """A third of the digits is a success: the remainder by 3 is that of the sum."""
    a, b = prompt.rstrip("=").split("+")
    return completion.isdigit() and int(completion) % 3 == (int(a) + int(b)) % 3


class Rewards:
    """A reward function that records what it is called with."""

    __name__ = "rewards"

    def __init__(self, value=lambda right: float(right)):
        self.value, self.calls = value, []

    def __call__(self, prompts, completions, **_others):
        self.calls.append(list(zip(prompts, completions, strict=True)))
        return [self.value(is_right(p, c)) for p, c in self.calls[-1]]


def recorded(curriculum):
    """Let a curriculum record its choices and what it observes, in the order of the calls."""
    curriculum.events = []
    choose, observe = curriculum.next_batch, curriculum.observe

    def next_batch(count, **more):
        chosen = choose(count, **more)
        curriculum.events.append(("chose", chosen.tolist()))
        return chosen

    def observing(indices, successes, num_rollouts, **more):
        values = [np.asarray(v).tolist() for v in (indices, successes, num_rollouts)]
        curriculum.events.append(("observed", *values))
        return observe(indices, successes, num_rollouts, **more)

    curriculum.next_batch, curriculum.observe = next_batch, observing
    return curriculum


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ModelConfig(path=str(digits_model(tmp_path_factory.mktemp("m") / "m")), device="cpu")


def trainer(model, folder, curriculum, *, kind=Grpo, rewards=None, rows=PROMPTS, **more):
    configs = {Grpo: trl.GRPOConfig, Rloo: trl.RLOOConfig}
    options = {
        "output_dir": str(folder), "max_steps": 4, "num_generations": GROUP,
        "max_completion_length": 1, "per_device_train_batch_size": 8, "use_cpu": True,
        "bf16": False, "report_to": [], "save_strategy": "no", "disable_tqdm": True,
        "gradient_checkpointing": False, "learning_rate": 1e-2,
    }  # fmt: skip
    evaluated = more.pop("eval_dataset", None)
    return kind(
        model=load_model(model, dtype=torch.float32),
        reward_funcs=rewards or Rewards(),
        args=configs[kind](**(options | more)),
        train_dataset=datasets.Dataset.from_dict({"prompt": list(rows)}),
        eval_dataset=evaluated,
        processing_class=load_tokenizer(model),
        curriculum=curriculum,
    )


def repeated(chosen):
    return [PROMPTS[index] for index in chosen for _ in range(GROUP)]


def counted(call):
    """Count the right completions of each problem of a call, without the reward function."""
    right = np.array([is_right(*pair) for pair in call]).reshape(-1, GROUP)
    return right.sum(axis=1).tolist()


@pytest.mark.parametrize("name", ["mapp", "learnalign"])
@pytest.mark.parametrize(
    ("kind", "accumulated", "per_generation", "iterations", "num_generated"),
    [
        (Grpo, 1, 1, 1, 4),
        (Grpo, 2, 2, 2, 2),  # four accumulation steps, two optimizer steps, use a generation
        (Grpo, 4, 2, 1, 8),  # two generations in an optimizer step, whose rows TRL reads at once
        (Grpo, 1, 2, 1, 2),  # two optimizer steps use a generation
        (Rloo, 2, 2, 2, 2),
    ],
)
def test_sampled_is_chosen_and_observed_once(
    model, tmp_path, name, kind, accumulated, per_generation, iterations, num_generated
):
    make = partial(keeping, name, len(PROMPTS), seed=3, num_rollouts=GROUP)
    curriculum, rewards = recorded(make()), Rewards()
    training = trainer(
        model, tmp_path, curriculum, kind=kind, rewards=rewards,
        gradient_accumulation_steps=accumulated, steps_per_generation=per_generation,
        num_iterations=iterations,
    )  # fmt: skip
    training.train()
    assert len(rewards.calls) == num_generated
    # A second curriculum is given what the recorded completions say: it chooses the same, so
    # each choice knew all outcomes before it, and none was counted twice.
    independent, learned = make(), []
    for number, call in enumerate(rewards.calls):
        chosen = independent.next_batch(2 * per_generation).tolist()
        assert [prompt for prompt, _ in call] == repeated(chosen)
        successes = counted(call)
        assert curriculum.events[2 * number : 2 * number + 2] == [
            ("chose", chosen),
            ("observed", chosen, successes, [GROUP] * len(chosen)),
        ]
        independent.observe(chosen, successes, GROUP)
        learned.append(sorted(repeated(chosen) * iterations))
    assert len(curriculum.events) == 2 * num_generated
    assert sum(sum(event[2]) for event in curriculum.events[1::2]) > 0
    assert independent.state_dict() == curriculum.state_dict()
    if kind is Grpo:
        size = len(training.learned) // num_generated
        blocks = [training.learned[k : k + size] for k in range(0, len(training.learned), size)]
        assert [sorted(block) for block in blocks] == learned


def test_order_is_its_own_passes(model, tmp_path):
    rewards = Rewards()
    trainer(
        model, tmp_path, curriculum_named("order", 16, seed=5), rewards=rewards, max_steps=8
    ).train()
    seen = [prompt for call in rewards.calls for prompt, _ in call[::GROUP]]
    alone = curriculum_named("order", 16, seed=5)
    assert seen == [PROMPTS[i] for _ in range(8) for i in alone.next_batch(2)]
    assert sorted(seen) == sorted(PROMPTS)


@pytest.mark.parametrize("name", ["order", "learnalign"])
def test_resumed_equals_uninterrupted(model, tmp_path, name):
    make = partial(keeping, name, len(PROMPTS), seed=3)
    more = {
        "save_strategy": "steps", "save_steps": 2, "gradient_accumulation_steps": 2,
        "num_iterations": 2, "max_steps": 6,
    }  # fmt: skip
    whole = Rewards()
    undisturbed = trainer(model, tmp_path, make(), rewards=whole, **more)
    undisturbed.train()
    rest = Rewards()
    resumed = trainer(model, tmp_path, make(), rewards=rest, **more)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert len(whole.calls) == 3
    assert rest.calls == whole.calls[1:]  # prompts and completions
    assert resumed.curriculum.state_dict() == undisturbed.curriculum.state_dict()
    weights = [t.model.state_dict() for t in (undisturbed, resumed)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    untrained = load_model(model, dtype=torch.float32).state_dict()
    assert not all(torch.equal(weights[0][key], untrained[key]) for key in weights[0])


def test_resumed_within_a_generation_draws_another(model, tmp_path):
    """TRL keeps no completions in a checkpoint: it samples again, and so the curriculum chooses."""
    more = {"save_strategy": "steps", "save_steps": 1, "num_iterations": 2, "max_steps": 3}
    first = recorded(curriculum_named("order", 16))
    trainer(model, tmp_path, first, **more).train()
    second = recorded(curriculum_named("order", 16))
    trainer(model, tmp_path, second, **more).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-1")
    )
    assert [first.events[0][0], second.events[0][0]] == ["chose", "chose"]
    assert not set(first.events[0][1]) & set(second.events[0][1])
    assert second.times_observed.sum() == 4


def test_a_checkpoint_without_a_state_is_refused(model, tmp_path):
    more = {"save_strategy": "steps", "save_steps": 1}
    trainer(model, tmp_path, curriculum_named("order", 16), max_steps=1, **more).train()
    path = tmp_path / "checkpoint-1" / STATE_FILE
    assert json.loads(path.read_text())["name"] == "order"
    path.unlink()
    with pytest.raises(LearnAlignError, match=STATE_FILE):
        trainer(model, tmp_path, curriculum_named("order", 16), **more).train(
            resume_from_checkpoint=str(tmp_path / "checkpoint-1")
        )


def test_evaluations_are_not_observed(model, tmp_path):
    curriculum, rewards = recorded(curriculum_named("mapp", 16)), Rewards()
    held_out = datasets.Dataset.from_dict({"prompt": ["9+9=", "9+8="]})
    training = trainer(
        model, tmp_path, curriculum, rewards=rewards, max_steps=2, eval_dataset=held_out,
        eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=8, eval_on_start=True,
        logging_steps=1,
    )  # fmt: skip
    training.train()
    called = [{prompt for prompt, _ in call} for call in rewards.calls]
    assert called.count({"9+9=", "9+8="}) == 3
    assert [event[0] for event in curriculum.events] == ["chose", "observed"] * 2
    seen = {place for _, places, *_ in curriculum.events[1::2] for place in places}
    logged = [row for row in training.state.log_history if "curriculum/coverage" in row]
    assert [row["curriculum/coverage"] for row in logged] == [2 / 16, len(seen) / 16]


def test_reward_functions_are_added_as_in_trl(model, tmp_path):
    """One function rewards every other completion and says nothing of the rest."""
    curriculum, right = recorded(curriculum_named("mapp", 16)), Rewards()

    def alternating(prompts, **_others):
        return [1.0 if place % 2 else None for place in range(len(prompts))]

    trainer(
        model, tmp_path, curriculum, rewards=[right, alternating], max_steps=1,
        reward_weights=[0.75, 0.25],
    ).train()  # fmt: skip
    wins = np.array(counted(right.calls[0]))
    _, _, successes, num_rollouts = curriculum.events[1]
    np.testing.assert_allclose(successes, 0.75 * wins + 0.25 * GROUP / 2, atol=1e-6)
    assert num_rollouts == [GROUP, GROUP]
    assert curriculum.metrics()["groups_with_signal"] == 1.0


def test_no_reward_is_no_rollout(model, tmp_path):
    curriculum = recorded(curriculum_named("mapp", 16))
    rewards = Rewards(value=lambda right: 1.0 if right else None)
    trainer(model, tmp_path, curriculum, rewards=rewards, max_steps=1).train()
    wins = counted(rewards.calls[0])
    assert curriculum.events[1][2:] == (wins, wins)
    assert curriculum.metrics()["groups_with_signal"] == 0.0


def test_rewards_beyond_1_need_a_curriculum_without_success_rates(model, tmp_path):
    scaled = partial(Rewards, value=lambda right: 5.0 if right else -2.0)
    order = curriculum_named("order", 16)
    rewards = scaled()
    trainer(model, tmp_path, order, rewards=rewards, max_steps=2).train()
    right = [wins for call in rewards.calls for wins in counted(call)]
    share = np.mean([0 < wins < GROUP for wins in right[-2:]])
    assert order.metrics()["groups_with_signal"] == share
    with pytest.raises(LearnAlignError, match=r"a reward of (5|-2)"):
        trainer(model, tmp_path, curriculum_named("mapp", 16), rewards=scaled()).train()


@pytest.mark.parametrize(
    ("name", "count", "rows", "message"),
    [
        ("dynamic", 16, PROMPTS, "drops groups"),
        ("greso", 16, PROMPTS, "cannot refill"),
        ("order", 15, PROMPTS, "16, one for each row"),
        ("order", 1, PROMPTS[:1], "batches of 2 prompts"),
    ],
)
def test_what_does_not_fit_is_refused(model, tmp_path, name, count, rows, message):
    with pytest.raises(LearnAlignError, match=message):
        trainer(model, tmp_path, curriculum_named(name, count), rows=rows)


def test_the_docs_lines_train(model, tmp_path):
    args = trl.GRPOConfig(
        output_dir=str(tmp_path), max_steps=2, num_generations=GROUP, max_completion_length=1,
        per_device_train_batch_size=8, use_cpu=True, bf16=False, report_to=[], disable_tqdm=True,
        save_strategy="no", gradient_checkpointing=False,
    )  # fmt: skip
    given = {"model": model.path, "reward": Rewards(), "args": args}
    given["dataset"] = datasets.Dataset.from_dict({"prompt": PROMPTS})
    exec(shown_lines("TRL"), given)
    assert given["trainer"].curriculum.num_rollouts == GROUP
    assert given["trainer"].curriculum.times_observed.sum() == 4
    assert len(given["reward"].calls) == 2


@pytest.fixture(scope="module")
def two_processes(model, tmp_path_factory):
    """What each of two processes saw, in a training and after its resume."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("one_of_two.py")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), model.path, str(folder)],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"errors-{rank}").open("w"),
        )
        for rank in "01"
    ]
    try:
        for rank, process in enumerate(running):
            assert process.wait(200) == 0, (folder / f"errors-{rank}").read_text()[-3000:]
    finally:
        for process in running:
            process.kill()
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_one_of_two_processes_chooses_for_both(two_processes):
    """Three prompts of four rollouts: the processes share the second prompt's."""
    (first, _), (second, _) = two_processes
    assert first["processes"] == second["processes"] == 2
    assert second["observed"] == []
    assert len(first["observed"]) == len(first["calls"]) == len(second["calls"]) == 3
    assert first["weight"] == second["weight"]
    independent = curriculum_named("mapp", len(PROMPTS), seed=0, num_rollouts=GROUP)
    for (places, successes), *halves in zip(
        first["observed"], first["calls"], second["calls"], strict=True
    ):
        assert places == independent.next_batch(3).tolist()
        both = [pair for half in halves for pair in half]
        assert [prompt for prompt, _ in both] == repeated(places)
        even = np.array([len(text) == 1 and text in "02468" for _, text in both])
        assert successes == even.reshape(-1, GROUP).sum(axis=1).tolist()
        independent.observe(places, successes, GROUP)


@pytest.mark.slow
def test_two_processes_resume(two_processes):
    for whole, resumed in two_processes:
        assert resumed["calls"] == whole["calls"][1:]
        assert resumed["observed"] == whole["observed"][1:]
        assert resumed["weight"] == whole["weight"]
