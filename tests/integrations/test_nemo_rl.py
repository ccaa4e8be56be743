"""Curricula in NeMo-RL: its loop, data, logger and checkpoints are real; the policy is not.

Skipped where NeMo-RL is not on the path; it is not on PyPI.
"""

import json
import pickle
from functools import partial
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from helpers.curricula import keeping
from helpers.trainer_docs import shown_lines
from learnalign.curriculum.registry import curriculum_named
from learnalign.errors import LearnAlignError
from learnalign.integrations.nemo_rl import CurriculumLoader

grpo = pytest.importorskip("nemo_rl.algorithms.grpo", reason="NeMo-RL is not installed")

from nemo_rl.data.collate_fn import rl_collate_fn  # noqa: E402
from nemo_rl.data.datasets.processed_dataset import AllTaskProcessedDataset  # noqa: E402
from nemo_rl.data.interfaces import TaskDataSpec  # noqa: E402
from nemo_rl.data.utils import load_dataloader_state  # noqa: E402
from nemo_rl.utils.checkpoint import CheckpointManager  # noqa: E402
from nemo_rl.utils.logger import Logger  # noqa: E402
from torchdata.stateful_dataloader import StatefulDataLoader  # noqa: E402

#: Rollouts of a problem, prompts of a step, rows.
GROUP, BATCH, ROWS = 4, 3, 12


def is_right(row, place, step):
    """The reward of a rollout; two rows are always right."""
    return float(row < 2 or (7 * row + 3 * place + step) % 5 < 2)


def counted(rows, step):
    return [sum(is_right(row, place, step) for place in range(GROUP)) for row in rows]


def row_of(entry, _spec, _tokenizer, _length, index):
    """Make one prompt, as NeMo-RL's processors do."""
    ids = torch.tensor([3, entry["row"]])
    return {
        "message_log": [{"role": "user", "content": str(entry["row"]), "token_ids": ids}],
        "length": 2, "extra_env_info": {}, "loss_multiplier": 1.0, "idx": index,
        "task_name": "rows",
    }  # fmt: skip


class Rollouts:
    """Answers for the server that samples, and records what it is asked for."""

    def __init__(self, reward=is_right, first=1):
        self.reward, self.step, self.asked = reward, first - 1, []

    def __call__(self, *, input_batch, **_others):
        self.step += 1
        rows = [int(log[0]["content"]) for log in input_batch["message_log"]]
        self.asked.append(rows[::GROUP])
        for log in input_batch["message_log"]:
            log.append(
                {
                    "role": "assistant", "content": "1", "token_ids": torch.tensor([5]),
                    "generation_logprobs": torch.tensor([-1.0]),
                }
            )  # fmt: skip
        input_batch["total_reward"] = torch.tensor(
            [self.reward(row, place % GROUP, self.step) for place, row in enumerate(rows)]
        )
        input_batch["truncated"] = torch.zeros(len(rows), dtype=torch.bool)
        return input_batch, {"mean_gen_tokens_per_sample": 1.0}


def policy():
    """Stand in for the model."""
    made = MagicMock()
    for name in ("get_logprobs", "get_reference_policy_logprobs"):
        key = "logprobs" if name == "get_logprobs" else "reference_logprobs"
        getattr(made, name).side_effect = lambda data, *_, key=key, **__: {
            key: torch.full(data["input_ids"].shape, -1.0)
        }
    made.train.return_value = {
        "loss": torch.tensor(0.5), "grad_norm": torch.tensor(1.0),
        "all_mb_metrics": {
            "global_valid_toks": [10], "token_mult_prob_error": [1.0], "gen_kl_error": [0.0],
        },
    }  # fmt: skip
    return made


def configured(folder, *, steps, dynamic=False):
    return grpo.MasterConfig.model_construct(
        grpo=grpo.GRPOConfig.model_construct(
            max_num_steps=steps, max_num_epochs=9, num_prompts_per_step=BATCH,
            num_generations_per_prompt=GROUP, max_rollout_turns=1, val_period=0, val_start_at=-1,
            val_at_start=False, val_at_end=False, stop_at_validation_metric=None,
            stop_at_validation_threshold=None, use_leave_one_out_baseline=False,
            normalize_rewards=False, overlong_filtering=False, 
            reward_scaling=grpo.RewardScalingConfig.model_construct(enabled=False),
            reward_shaping=grpo.RewardShapingConfig.model_construct(enabled=False),
            use_dynamic_sampling=dynamic, dynamic_sampling_max_gen_batches=9,
            batch_multiplier=1, seq_logprob_error_threshold=None, advantage_clip_low=None,
            advantage_clip_high=None,
            adv_estimator=grpo.AdvEstimatorConfig.model_construct(
                name="grpo", use_leave_one_out_baseline=False, normalize_rewards=True
            ),
        ),
        policy={
            "make_sequence_length_divisible_by": 1, "max_total_sequence_length": 8,
            "precision": "float32",
            "generation": {
                "backend": "megatron", "colocated": {"enabled": True}, "vllm_cfg": {},
            },
        },
        loss_fn=grpo.ClippedPGLossConfig(),
        checkpointing={
            "enabled": True, "checkpoint_dir": str(folder / "checkpoints"), "save_period": 2,
            "checkpoint_must_save_by": None, "metric_name": None, "higher_is_better": True,
            "keep_top_k": None, "save_optimizer": False,
        },
        cluster={"num_nodes": 1, "gpus_per_node": 1}, logger={"num_val_samples_to_print": 0},
        data={"use_multiple_dataloader": False}, env={},
    )  # fmt: skip


class Metrics(MagicMock):
    """A backend of NeMo-RL's logger that keeps the metrics."""

    def __init__(self, **more):
        super().__init__(**more)
        self.steps = {}

    def log_metrics(self, metrics, step, prefix, *_others):
        self.steps.setdefault(step, {}).update({f"{prefix}/{k}": v for k, v in metrics.items()})


def loaded(**more):
    rows = [{"row": row, "task_name": "rows"} for row in range(ROWS)]
    data = AllTaskProcessedDataset(rows, MagicMock(bos_token_id=None), TaskDataSpec("rows"), row_of)
    return StatefulDataLoader(
        data, batch_size=BATCH, shuffle=True, collate_fn=rl_collate_fn, drop_last=True, **more
    )


def train(monkeypatch, folder, name="mapp", *, steps=4, reward=is_right, listening=True, **more):
    """Train as NeMo-RL's script does; return the loader, rollouts and metrics."""
    config = configured(folder, steps=steps, **more)
    checkpointer = CheckpointManager(config.checkpointing)
    last = checkpointer.get_latest_checkpoint_path()
    state = grpo._get_grpo_save_state(checkpointer.load_training_info(last))
    rollouts = Rollouts(reward, first=state.total_steps + 1)
    monkeypatch.setattr(grpo, "run_multi_turn_rollout", rollouts)
    monkeypatch.setattr(grpo, "run_async_multi_turn_rollout", rollouts)
    monkeypatch.setattr(grpo, "MemoryTracker", MagicMock)  # it asks a Ray cluster
    flags = dict.fromkeys(
        ("wandb_enabled", "swanlab_enabled", "tensorboard_enabled", "mlflow_enabled",
         "monitor_gpus"), False,
    )  # fmt: skip
    logger, metrics = Logger({**flags, "log_dir": str(folder)}), Metrics()
    logger.loggers.append(metrics)
    dataloader = loaded()
    if last is not None:
        load_dataloader_state(dataloader, last, config.data)  # in NeMo-RL's setup
    loader = CurriculumLoader(dataloader, keeping(name, ROWS, seed=3), GROUP, checkpoint=last)
    with checkpointer:
        grpo.grpo_train(
            policy(), policy(), loader, None, MagicMock(pad_token_id=0), MagicMock(), {}, {},
            loader.listening(logger) if listening else logger, checkpointer, state, config,
        )  # fmt: skip
    return loader, rollouts, metrics.steps


@pytest.mark.parametrize("name", ["order", "mapp", "learnalign"])
def test_sampled_is_chosen_and_observed_once(monkeypatch, tmp_path, name):
    """Nine steps are more than two epochs."""
    loader, rollouts, metrics = train(monkeypatch, tmp_path, name, steps=9)
    independent = keeping(name, ROWS, seed=3)
    seen = set()
    for step, rows in enumerate(rollouts.asked, 1):
        assert rows == independent.next_batch(BATCH).tolist()
        independent.observe(rows, counted(rows, step), GROUP)
        seen |= set(rows)
        assert metrics[step]["train/curriculum/coverage"] == len(seen) / ROWS
    assert len(rollouts.asked) == 9
    assert loader.curriculum.state_dict() == independent.state_dict()
    lines = (tmp_path / "train_data_step9.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["rewards"][0] for line in lines) == sum(counted(rows, 9))


def test_resumed_does_not_know_the_rewards_of_the_checkpoints_step(monkeypatch, tmp_path):
    """NeMo-RL writes the checkpoint before the log."""
    train(monkeypatch, tmp_path, steps=6)
    loader, rest, _ = train(monkeypatch, tmp_path, steps=9)
    whole = train(monkeypatch, tmp_path / "whole", "order", steps=6)[1].asked
    assert len(rest.asked) == 3
    independent = curriculum_named("mapp", ROWS, seed=3)
    for step in range(1, 10):
        rows = independent.next_batch(BATCH).tolist()
        if step > 6:
            assert rows == rest.asked[step - 7]
        if step != 6:
            independent.observe(rows, counted(rows, step), GROUP)
    assert loader.curriculum.state_dict() == independent.state_dict()
    train(monkeypatch, tmp_path / "parts", "order", steps=4)
    assert train(monkeypatch, tmp_path / "parts", "order", steps=6)[1].asked == whole[4:]


def test_a_checkpoint_without_a_state_is_refused(tmp_path):
    torch.save(loaded().state_dict(), tmp_path / "train_dataloader.pt")
    with pytest.raises(LearnAlignError, match="without the state"):
        CurriculumLoader(loaded(), curriculum_named("mapp", ROWS), GROUP, checkpoint=str(tmp_path))


def test_rewards_that_do_not_arrive_are_an_error(monkeypatch, tmp_path):
    with pytest.raises(LearnAlignError, match="no rewards of the last batch"):
        train(monkeypatch, tmp_path / "deaf", listening=False)
    with pytest.raises(LearnAlignError, match="use_dynamic_sampling"):
        train(monkeypatch, tmp_path / "dynamic", dynamic=True)


def test_rewards_beyond_1_need_a_curriculum_without_success_rates(monkeypatch, tmp_path):
    scaled = partial(train, monkeypatch, reward=lambda *a: 5 * is_right(*a) - 2)
    _, rollouts, metrics = scaled(tmp_path / "order", "order")
    for step, rows in enumerate(rollouts.asked, 1):
        share = np.mean([0 < count < GROUP for count in counted(rows, step)])
        assert metrics[step]["train/curriculum/groups_with_signal"] == share
    with pytest.raises(LearnAlignError, match=r"a reward of (3|-2)"):
        scaled(tmp_path / "mapp", "mapp")


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [("greso", ROWS, "cannot refill"), ("mapp", 5, "12, one for each row")],
)
def test_what_does_not_fit_is_refused(name, count, message):
    with pytest.raises(LearnAlignError, match=message):
        CurriculumLoader(loaded(), curriculum_named(name, count), GROUP, checkpoint=None)


def test_another_process_is_refused():
    loader = CurriculumLoader(loaded(), curriculum_named("mapp", ROWS), GROUP, checkpoint=None)
    with pytest.raises(LearnAlignError, match="async_grpo"):
        pickle.dumps(loader)


def test_the_docs_lines_replace_loader_and_logger(tmp_path):
    config = configured(tmp_path, steps=1)
    given = {"config": config, "dataloader": loaded(), "logger": MagicMock()}
    given["checkpointer"] = CheckpointManager(config.checkpointing)
    given["dataset"] = given["dataloader"].dataset
    exec(shown_lines("NeMo-RL"), given)
    rows = next(iter(given["dataloader"]))["idx"]
    rewards = {"rewards": [1.0, 0.0] * (BATCH * GROUP // 2)}
    given["logger"].log_batched_dict_as_jsonl(rewards, "train_data_step1.jsonl")
    assert given["curriculum"].times_observed.nonzero()[0].tolist() == sorted(rows)
    assert given["curriculum"].num_rollouts == GROUP
