"""What replaces GPUs in verl's trainer: rollouts with known rewards, and no model at all.

To be imported only where verl is installed.
"""

import asyncio
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

pytest.importorskip("verl", reason="verl is not installed")

from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.trainer.ppo.v1 import AgentLoopWorkerTQ

Worker = AgentLoopWorkerTQ.__ray_metadata__.modified_class


def is_right(row, rollout, step):
    """The reward of a rollout; two rows are always right."""
    return float(row < 2 or (7 * row + 3 * rollout + step) % 5 < 2)


class Rollouts(Worker):
    """Samples at once, in this process, and records what it is asked for."""

    def __init__(self, config, tokenizer, *, outputs=1, fails=(), reward=is_right):
        self.config, self.tokenizer, self.processor = config, tokenizer, None
        self.distillation_enabled, self.reward_loop_worker_handles = False, None
        self.background_tasks, self.loop = set(), asyncio.new_event_loop()
        self.outputs, self.fails, self.reward = outputs, fails, reward
        self.mm_processor_kwargs, self.asked = {}, []

    def generate_sequences(self, batch):
        async def everything():
            await Worker.generate_sequences(self, batch)
            await asyncio.gather(*self.background_tasks)

        rows = [int(messages[0]["content"]) for messages in batch["raw_prompt"]]
        self.asked.append(rows)
        self.loop.run_until_complete(everything())

    async def _run_agent_loop(self, _sampling, trajectory, *, trace, agent_name, **prompt):
        row, rollout = int(prompt["raw_prompt"][0]["content"]), prompt["session_id"]
        if (row, rollout) in self.fails:
            raise RuntimeError("the server is down")
        reward = self.reward(row, rollout, trajectory["step"])
        made = [
            AgentLoopOutput(
                prompt_ids=[3, 4], response_ids=[5, 6], response_mask=[1, 1], num_turns=2,
                response_logprobs=[-1.0, -1.0], metrics=AgentLoopMetrics(),
                reward_score=reward if last else None,
                extra_fields={
                    "min_global_steps": trajectory["step"], "max_global_steps": trajectory["step"],
                    "reward_extra_info": {},
                },
            )
            for last in [False] * (self.outputs - 1) + [True]
        ]  # fmt: skip
        await self._agent_loop_postprocess(made, trajectory["validate"], **prompt)


class Actor:
    """Stands in for the workers of the model."""

    _dispatch_info = {"actor": [0]}  # noqa: RUF012

    def update_actor(self, _batch):
        return {"metrics": {"mfu": [0.0], "grad_norm": [1.0]}}

    def save_checkpoint(self, *_arguments, **_options):
        pass

    def load_checkpoint(self, **_options):
        pass


class WithoutGpus:
    """Sets up what a trainer has without GPUs."""

    def _setup(self):
        self.tokenizer = AutoTokenizer.from_pretrained(self.config.actor_rollout_ref.model.path)
        self.processor = None
        self._init_dataloader()
        self._init_dump_executor()
        self.actor_rollout_wg = Actor()
        self.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=[])
        self.resource_pool_manager = SimpleNamespace(get_n_gpus=lambda: 1)
        nothing = ("update_weights", "sleep_replicas", "abort_replicas")
        self.checkpoint_manager = SimpleNamespace(
            **dict.fromkeys((*nothing, "resume_generation_replicas"), lambda *_: None)
        )
        self._load_checkpoint()
