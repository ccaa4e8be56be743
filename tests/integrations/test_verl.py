"""Curricula in verl's trainer: its loop, queue, replay buffer, data and checkpoints are real.

Stand-ins replace what needs GPUs: the model's workers and the server that samples. The rollouts
pass through verl's own agent loop worker. Skipped without verl 0.9 and its TransferQueue.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers.curricula import keeping
from helpers.digits import digits_model
from helpers.trainer_docs import shown_lines
from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.integrations.verl import CurriculumMixin

ray = pytest.importorskip("ray")
tq = pytest.importorskip("transfer_queue", reason="verl's TransferQueue is not installed")
v1 = pytest.importorskip("verl.trainer.ppo.v1", reason="verl is not installed")
datasets = pytest.importorskip("datasets")

from hydra import compose, initialize_config_module  # noqa: E402

from helpers.verl_without_gpus import Rollouts, WithoutGpus, is_right  # noqa: E402

#: Rollouts of a problem, prompts of a batch, rows.
GROUP, BATCH, ROWS = 4, 3, 10


class Sync(WithoutGpus, v1.PPOTrainerSync):
    """verl's own order of prompts."""


class Chosen(CurriculumMixin, Sync):
    """The user's class."""

    name = "mapp"

    def make_curriculum(self, num_problems):
        return keeping(self.name, num_problems, seed=3)


class ChosenAhead(CurriculumMixin, WithoutGpus, v1.PPOTrainerColocateAsync):
    """A trainer that fetches prompts ahead."""

    name, make_curriculum = "mapp", Chosen.make_curriculum


@pytest.fixture(scope="module", autouse=True)
def queue():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    tq.close()
    ray.shutdown()


@pytest.fixture(autouse=True)
def names():
    """Register the trainers as a user does, for one test."""
    registry = v1.trainer_base.TRAINER_REGISTRY
    before = dict(registry)
    v1.register_trainer("chosen")(Chosen)
    v1.register_trainer("ahead")(ChosenAhead)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tokenizer, and rows whose ``extra_info.index`` is not unique."""
    folder = tmp_path_factory.mktemp("verl")
    digits_model(folder / "model")
    rows = [
        {
            "data_source": "rows", "prompt": [{"role": "user", "content": str(row)}],
            "ability": "", "reward_model": {"style": "rule", "ground_truth": str(row)},
            "extra_info": {"index": row % 2},
        }
        for row in range(ROWS)
    ]  # fmt: skip
    datasets.Dataset.from_list(rows).to_parquet(folder / "rows.parquet")
    return folder


def configured(files, out, mode="chosen", **more):
    options = {
        "trainer.v1.trainer_mode": mode, "data.train_files": files / "rows.parquet",
        "data.val_files": files / "rows.parquet", "data.train_batch_size": BATCH,
        "data.dataloader_num_workers": 0, "data.filter_overlong_prompts": False,
        "actor_rollout_ref.model.path": files / "model", "actor_rollout_ref.rollout.n": GROUP,
        "actor_rollout_ref.rollout.calculate_log_probs": True,
        "actor_rollout_ref.rollout.name": "vllm", "trainer.n_gpus_per_node": 1,
        "actor_rollout_ref.actor.ppo_mini_batch_size": BATCH, "algorithm.adv_estimator": "grpo",
        "algorithm.rollout_correction.bypass_mode": True, "trainer.val_before_train": False,
        "trainer.default_local_dir": out, "trainer.total_training_steps": 4,
        "trainer.logger": '["file"]', "trainer.save_freq": 2, "trainer.total_epochs": 9,
        "trainer.test_freq": -1, "transfer_queue.enable": True,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    }  # fmt: skip
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(
            "ppo_trainer", [f"++{key}={value}" for key, value in (options | more).items()]
        )


def train(config, monkeypatch, **more):
    """Run verl's training as its TaskRunner does; return the trainer, rollouts and log."""
    log = Path(config.trainer.default_local_dir) / "log.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(log))
    tq.init(config.transfer_queue)
    trainer = v1.get_trainer_cls(config.trainer.v1.trainer_mode)(config=config)
    trainer.replay_buffer.poll_interval = 0.01
    trainer.init()
    rollouts = Rollouts(config, trainer.tokenizer, **more)
    queue_is_empty = False
    try:
        trainer.fit(rollouts)
        queue_is_empty = trainer.trainer_mode == "sync"
    finally:
        trainer.logger.finish(exit_code=0)
        if not queue_is_empty:
            tq.close()
    return trainer, rollouts, [json.loads(line)["data"] for line in log.read_text().splitlines()]


def counted(rows, step, reward=is_right):
    return [sum(reward(row, rollout, step) for rollout in range(GROUP)) for row in rows]


@pytest.mark.parametrize("name", ["order", "mapp", "learnalign"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_sampled_is_chosen_and_observed_once(files, tmp_path, monkeypatch, name, outputs):
    monkeypatch.setattr(Chosen, "name", name)
    trainer, rollouts, log = train(configured(files, tmp_path), monkeypatch, outputs=outputs)
    independent = keeping(name, ROWS, seed=3)
    assert len(rollouts.asked) == 4
    for step, rows in enumerate(rollouts.asked, 1):
        assert rows == independent.next_batch(BATCH).tolist()
        wins = counted(rows, step)
        independent.observe(rows, wins, GROUP)
        assert log[step - 1]["curriculum/groups_with_signal"] == pytest.approx(
            np.mean([0 < count < GROUP for count in wins])
        )
        seen = {row for asked in rollouts.asked[:step] for row in asked}
        assert log[step - 1]["curriculum/coverage"] == len(seen) / ROWS
    assert trainer.curriculum.state_dict() == independent.state_dict()


def test_a_rollout_that_failed_is_not_counted(files, tmp_path, monkeypatch):
    """verl fills the batch up with padding, which has a reward of 0."""
    fails = {(row, 1) for row in range(5)} | {(6, rollout) for rollout in range(GROUP)}
    trainer, rollouts, _ = train(configured(files, tmp_path), monkeypatch, fails=fails)
    independent = curriculum_named("mapp", ROWS, seed=3)
    for step, rows in enumerate(rollouts.asked, 1):
        assert rows == independent.next_batch(BATCH).tolist()
        counts = {row: [r for r in range(GROUP) if (row, r) not in fails] for row in rows}
        observed = [row for row in rows if counts[row]]
        independent.observe(
            observed,
            [sum(is_right(row, r, step) for r in counts[row]) for row in observed],
            [len(counts[row]) for row in observed],
        )
    assert {row for rows in rollouts.asked for row in rows} & set(range(5))
    assert trainer.curriculum.state_dict() == independent.state_dict()


@pytest.mark.parametrize(
    ("mode", "name"),
    # Which of the prompts fetched ahead come first is random in verl.
    [("chosen", "order"), ("chosen", "learnalign"), ("ahead", "order")],
)
def test_resumed_equals_uninterrupted(files, tmp_path, monkeypatch, mode, name):
    monkeypatch.setattr(Chosen, "name", name)
    monkeypatch.setattr(ChosenAhead, "name", name)
    whole, rollouts, _ = train(configured(files, tmp_path / "whole", mode), monkeypatch)
    half = {"trainer.total_training_steps": 2}
    _, first, _ = train(configured(files, tmp_path / "parts", mode, **half), monkeypatch)
    resumed, rest, _ = train(configured(files, tmp_path / "parts", mode), monkeypatch)
    assert first.asked + rest.asked == rollouts.asked
    assert resumed.curriculum.state_dict() == whole.curriculum.state_dict()


def test_a_checkpoint_without_a_state_is_refused(files, tmp_path, monkeypatch):
    v1.trainer_base.TRAINER_REGISTRY["sync"] = Sync
    train(configured(files, tmp_path, "sync", **{"trainer.total_training_steps": 2}), monkeypatch)
    with pytest.raises(LearnAlignError, match="without the state"):
        train(configured(files, tmp_path), monkeypatch)


def test_prompts_fetched_ahead_are_observed_when_verl_trains_on_them(files, tmp_path, monkeypatch):
    more = {"trainer.v1.colocate_async.num_warmup_batches": 2}
    trainer, rollouts, _ = train(configured(files, tmp_path, "ahead", **more), monkeypatch)
    assert trainer.trainer_mode == "colocate_async"
    assert [len(rows) for rows in rollouts.asked] == [2 * BATCH] + [BATCH] * 4
    trained = [row for rows in rollouts.asked for row in rows][: 4 * BATCH]
    times = Counter(trained)
    assert trainer.curriculum.times_observed.tolist() == [times[row] for row in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("dynamic", {}, "cannot refill"),
        ("mapp", {"algorithm.filter_groups.enable": True}, "filter_groups"),
        ("mapp", {"data.train_batch_size": ROWS + 1}, "lower data.train_batch_size"),
    ],
)
def test_what_does_not_fit_is_refused(files, tmp_path, monkeypatch, name, more, message):
    monkeypatch.setattr(Chosen, "name", name)
    with pytest.raises(LearnAlignError, match=message):
        train(configured(files, tmp_path, **more), monkeypatch)


def test_rewards_beyond_1_need_a_curriculum_without_success_rates(files, tmp_path, monkeypatch):
    scaled = partial(train, monkeypatch=monkeypatch, reward=lambda *a: 5 * is_right(*a) - 2)
    monkeypatch.setattr(Chosen, "name", "order")
    _, rollouts, log = scaled(configured(files, tmp_path / "order"))
    shares = [
        np.mean([0 < count < GROUP for count in counted(rows, step)])
        for step, rows in enumerate(rollouts.asked, 1)
    ]
    assert [row["curriculum/groups_with_signal"] for row in log] == pytest.approx(shares)
    monkeypatch.setattr(Chosen, "name", "mapp")
    with pytest.raises(LearnAlignError, match=r"a reward of (3|-2)"):
        scaled(configured(files, tmp_path / "mapp"))


def test_the_docs_lines_train(files, tmp_path, monkeypatch):
    given = {}
    exec(shown_lines("verl"), given)
    v1.register_trainer("here")(type("Here", (WithoutGpus, given["CurriculumTrainer"]), {}))
    trainer, rollouts, _ = train(configured(files, tmp_path, "here"), monkeypatch)
    assert trainer.curriculum.num_rollouts == GROUP
    times = Counter(row for rows in rollouts.asked for row in rows)
    assert trainer.curriculum.times_observed.tolist() == [times[row] for row in range(ROWS)]


def test_verl_finds_the_docs_lines_by_its_variable(tmp_path):
    (tmp_path / "my_trainer.py").write_text(shown_lines("verl"))
    shown = subprocess.run(
        [
            sys.executable, "-c",
            "import verl.trainer.main_ppo; from verl.trainer.ppo.v1 import get_trainer_cls;"
            "print(get_trainer_cls('curriculum').__module__)",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"VERL_USE_EXTERNAL_MODULES": "my_trainer"},
    )  # fmt: skip
    assert shown.stdout.split() == ["my_trainer"], shown.stderr[-2000:]
