"""Curricula in imitations of verl, slime and NeMo-RL, where these are not installed.

Each imitation is written from the source of the trainer, and has only what the integration uses.
The tests with the trainers themselves are next to this file.
"""

import copy
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from helpers.trainer_docs import shown_lines
from learnalign.curriculum.registry import curriculum_named
from learnalign.integrations import slime, verl
from learnalign.integrations.nemo_rl import CurriculumLoader

GROUP, BATCH, ROWS = 4, 3, 10


def reward(row, place, step):
    return float(row < 2 or (7 * row + 3 * place + step) % 5 < 2)


def prompt(row):
    """Return every second prompt as a conversation."""
    text = f"What is {'nine' if row % 3 else 'two'} times {row}?"
    return [{"role": "user", "content": text}] if row % 2 else text


def expected(steps):
    """Return what a curriculum chooses that is given the rewards by hand, and its state."""
    curriculum, batches = curriculum_named("mapp", ROWS, seed=3), []
    for step in range(steps):
        batches.append(curriculum.next_batch(BATCH).tolist())
        wins = [sum(reward(row, place, step) for place in range(GROUP)) for row in batches[-1]]
        curriculum.observe(batches[-1], wins, GROUP)
    return batches, curriculum.state_dict()


class SlimeSource:
    """Deals copies of rows in order, as `RolloutDataSource` does."""

    def __init__(self, args):
        self.args, self.sample_offset = args, 0
        rows = [
            SimpleNamespace(label=row, metadata={}, reward=None, prompt=prompt(row))
            for row in range(ROWS)
        ]
        self.dataset = SimpleNamespace(origin_samples=rows, samples=rows)

    def get_samples(self, count):
        rows = self.dataset.samples[self.sample_offset : self.sample_offset + count]
        self.sample_offset += count
        return [[copy.deepcopy(row) for _ in range(GROUP)] for row in rows]


class Source(slime.CurriculumMixin, SlimeSource):
    def make_curriculum(self, num_problems):
        return curriculum_named("mapp", num_problems, seed=3)


def test_slime():
    args = SimpleNamespace(
        rollout_all_samples_process_path="learnalign.integrations.slime.observe",
        dynamic_sampling_filter_path=None, over_sampling_batch_size=BATCH,
    )  # fmt: skip
    source, batches = Source(args), []
    for step in range(5):
        groups = source.get_samples(BATCH)
        batches.append([group[0].label for group in groups])
        for group in groups:
            for place, sample in enumerate(group):
                sample.reward = reward(sample.label, place, step)
                sample.get_reward_value = lambda _args, sample=sample: sample.reward
        slime.observe(args, groups, source.get_samples)
    assert (batches, source.curriculum.state_dict()) == expected(5)


def test_the_docs_lines_for_slime(monkeypatch):
    source = ModuleType("slime.rollout.data_source")
    source.RolloutDataSourceWithBuffer = SlimeSource
    for module in (ModuleType("slime"), ModuleType("slime.rollout"), source):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    given = {}
    exec(shown_lines("slime"), given)
    args = SimpleNamespace(
        rollout_all_samples_process_path="learnalign.integrations.slime.observe",
        dynamic_sampling_filter_path="a filter", over_sampling_batch_size=BATCH,
        n_samples_per_prompt=GROUP,
    )  # fmt: skip
    curriculum = given["CurriculumSource"](args).curriculum
    assert curriculum.num_rollouts == GROUP
    assert curriculum.model is not None


class NemoLoader:
    """Has what `StatefulDataLoader` has."""

    dataset, batch_size, collate_fn = [*range(ROWS)], BATCH, staticmethod(list)

    def __len__(self):
        return len(self.dataset) // self.batch_size


def test_nemo_rl():
    written, logged = [], []
    logger = SimpleNamespace(
        log_batched_dict_as_jsonl=lambda _values, name: written.append(name),
        log_metrics=lambda metrics, step, prefix: logged.append((step, prefix, *metrics)),
    )
    curriculum = curriculum_named("mapp", ROWS, seed=3)
    loader, batches = CurriculumLoader(NemoLoader(), curriculum, GROUP, checkpoint=None), []
    listening = loader.listening(logger)
    for _epoch in range(2):
        for batch in loader:
            step = len(batches)
            batches.append(batch)
            values = [reward(row, place, step) for row in batch for place in range(GROUP)]
            listening.log_batched_dict_as_jsonl({"rewards": values}, f"train_data_step{step}.jsonl")
            listening.log_batched_dict_as_jsonl({"rewards": []}, f"val_data_step{step}.jsonl")
    assert (batches, curriculum.state_dict()) == expected(6)
    assert written[:2] == ["train_data_step0.jsonl", "val_data_step0.jsonl"]
    assert logged[0][:3] == (0, "train", "curriculum/groups")


class VerlRows(list):
    """verl's data set, with the prompts of its files."""

    dataframe = {"prompt": [prompt(row) for row in range(ROWS)]}  # noqa: RUF012


class VerlTrainer:
    """Fetches rows and computes advantages, as `PPOTrainer` does."""

    def __init__(self, config):
        self.config = config
        self._init_dataloader()

    def _init_dataloader(self):
        self.train_dataset = VerlRows({"row": row} for row in range(ROWS))
        self.train_dataloader = SimpleNamespace(
            dataset=self.train_dataset, collate_fn=list, batch_size=BATCH
        )

    def _next_train_batch(self, num_prompts=None):
        return next(iter(self.train_dataloader))

    def _compute_advantage(self, batch, _metrics):
        return batch

    def _compute_metrics(self, _batch, metrics):
        metrics["other"] = 1.0


class Trainer(verl.CurriculumMixin, VerlTrainer):
    def make_curriculum(self, num_problems):
        return curriculum_named("mapp", num_problems, seed=3)


class Values(list):
    """A column as TransferQueue returns it."""

    tolist = list.copy


@pytest.fixture
def queue(monkeypatch):
    """Put modules in the place of verl's, and return the queue's rows by key."""
    rows = {}
    modules = {
        "omegaconf": {"open_dict": nullcontext},
        "verl.trainer.ppo.v1.trainer_base": {"TRAINER_REGISTRY": {"sync": VerlTrainer}},
        "transfer_queue": {
            "kv_batch_get": lambda keys, partition_id, select_fields: {
                field: Values(rows[key][field] for key in keys) for field in select_fields
            }
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
        for parent in ("verl", "verl.trainer", "verl.trainer.ppo", "verl.trainer.ppo.v1"):
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    return rows


def test_verl(queue):
    config = SimpleNamespace(
        algorithm={}, data=SimpleNamespace(train_batch_size=BATCH),
        trainer=SimpleNamespace(v1=SimpleNamespace(trainer_mode="curriculum")),
    )  # fmt: skip
    trainer, batches = Trainer(config), []
    assert config.trainer.v1.trainer_mode == "sync"
    for step in range(5):
        prompts = trainer._next_train_batch()
        batches.append([prompt["row"] for prompt in prompts])
        queue.clear()
        for uid, prompt in enumerate(prompts):
            for place in range(GROUP):
                value = reward(prompt["row"], place, step)
                for output in (0, 1):  # of the same rollout
                    scores = np.array([0.0, value])
                    queue[f"{uid}_{place}_{output}"] = prompt | {"rm_scores": scores}
        queue["padding_0_0"] = queue["0_0_0"] | {"rm_scores": np.array([0.0])}
        tags = [{"is_padding": key.startswith("padding")} for key in queue]
        batch = SimpleNamespace(keys=list(queue), tags=tags, partition_id="train")
        assert trainer._compute_advantage(batch, {}) is batch
        metrics = {}
        trainer._compute_metrics(batch, metrics)
        assert metrics["other"] == 1.0
        assert metrics["curriculum/coverage"] == len({r for rows in batches for r in rows}) / ROWS
    assert (batches, trainer.curriculum.state_dict()) == expected(5)
    restored = Trainer(config)
    restored.train_dataloader.load_state_dict(trainer.train_dataloader.state_dict())
    assert restored._next_train_batch() == trainer._next_train_batch()


def test_the_docs_lines_for_verl(queue):
    sys.modules["verl.trainer.ppo.v1"].PPOTrainerSync = VerlTrainer
    sys.modules["verl.trainer.ppo.v1"].register_trainer = lambda _name: lambda trainer: trainer
    given = {}
    exec(shown_lines("verl"), given)
    config = SimpleNamespace(
        algorithm={}, data=SimpleNamespace(train_batch_size=BATCH, prompt_key="prompt"),
        trainer=SimpleNamespace(v1=SimpleNamespace(trainer_mode="curriculum")),
        actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(n=GROUP)),
    )  # fmt: skip
    curriculum = given["CurriculumTrainer"](config).curriculum
    assert curriculum.num_rollouts == GROUP
    assert curriculum.model is not None
