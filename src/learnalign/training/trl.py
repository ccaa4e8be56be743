"""Training with TRL's GRPOTrainer on our problems, order, rollouts and rewards."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import PrinterCallback

from learnalign.config import Config
from learnalign.tables import ROLLOUTS
from learnalign.terminal.library_bars import no_bars
from learnalign.training.history import History
from learnalign.training.native import SEED_STEP, rollout_metrics
from learnalign.training.order import Indices
from learnalign.training.trl_options import grpo_options, trl_packages


@no_bars()
def train(
    model: Any,
    engine: Any,
    verifier: Any,
    problems: pa.Table,
    order: Indices,
    history: History,
    config: Config,
    *,
    folder: Path,
    first: int,
    save: Callable[[int], None],
    progress: Callable[[int], None],
) -> None:
    """Run the remaining steps; TRL saves its checkpoints in ``folder``.

    The data set repeats the problems in the given order, one row per use, so that TRL neither
    shuffles nor drops rows.

    Args:
        model: A causal language model of transformers, or a PEFT model, in float32.
        engine: `TransformersEngine` of that model, for ``training.sampling=learnalign``.
        verifier: `Verifier`.
        problems: PROBLEMS table.
        order: (steps, per_step) indices into ``problems``.
        history: Receives each step's rollouts and metrics.
        config: The options; ``training.trl`` is passed to GRPOConfig.
        folder: Folder for TRL's checkpoints.
        first: Number of completed steps; their checkpoint is in the folder.
        save: Called after each of TRL's checkpoints with the number of completed steps.
        progress: Called with 1 after each step.

    Raises:
        LearnAlignError: if trl is not installed, or for a ``training.trl`` option that is unknown,
            has an equivalent here, or affects saving and logging.
    """
    trl, datasets = trl_packages()
    bridge = _Bridge(engine, verifier, problems, history, config)
    rows = problems.take(order.reshape(-1)).select(["problem_id", "prompt"])
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=bridge.reward,
        args=trl.GRPOConfig(**grpo_options(config, order.shape[1], folder)),
        train_dataset=datasets.Dataset.from_dict(rows.to_pydict()),
        processing_class=_padding(engine.tokenizer, model),
        callbacks=[_recorder(bridge, history, save, progress)],
        **({"rollout_func": bridge.sample} if config.training.sampling == "learnalign" else {}),
    )
    trainer.remove_callback(PrinterCallback)  # it prints every step to stdout
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{first}") if first else None)


def _padding(tokenizer: Any, model: Any) -> Any:
    """Return a tokenizer whose padding token the model knows: TRL feeds it to the model."""
    size = model.get_input_embeddings().num_embeddings
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < size:
        return tokenizer
    tokens = [token for token in [tokenizer.eos_token_id, 0] if token is not None and token < size]
    padding = deepcopy(tokenizer)
    padding.pad_token = padding.convert_ids_to_tokens(tokens[0])
    return padding


class _Bridge:
    """Callbacks for TRL: our engine for rollouts, our verifier for rewards; records each call."""

    def __init__(
        self, engine: Any, verifier: Any, problems: pa.Table, history: History, config: Config
    ) -> None:
        self.engine, self.verifier, self.history, self.config = engine, verifier, history, config
        self.problems = problems
        self.by_prompt = {
            p: i for i, p in reversed(list(enumerate(problems["prompt"].to_pylist())))
        }
        self.by_id = {name: i for i, name in enumerate(problems["problem_id"].to_pylist())}
        self.sampling_s = self.verifying_s = 0.0
        self.metrics: dict[str, float | None] = {}
        self.rollouts: pa.Table | None = None

    def sample(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """TRL's ``rollout_func``; ``prompts`` repeats each prompt once per generation."""
        begin = time.monotonic()
        group = self.config.rollouts.num_rollouts
        batch = self.problems.take([self.by_prompt[prompt] for prompt in prompts[::group]])
        self.engine.seed = self.config.run.seed + SEED_STEP * (trainer.state.global_step + 1)
        device = self.engine.device.type
        cast = torch.autocast(device, torch.bfloat16) if trainer.args.bf16 else nullcontext()
        with cast:
            self.rollouts = self.engine.sample(batch)
        self.engine.model.train()
        self.sampling_s += time.monotonic() - begin
        prompt_ids = batch["prompt_ids"].to_pylist()
        return {
            "prompt_ids": [ids for ids in prompt_ids for _ in range(group)],
            "completion_ids": self.rollouts["token_ids"].to_pylist(),
            "logprobs": self.rollouts["logprobs"].to_pylist(),
        }

    def reward(
        self,
        completions: list[str],
        completion_ids: list[list[int]],
        problem_id: list[str],
        trainer_state: Any,
        **_others: Any,
    ) -> list[float | None]:
        """TRL's reward function: verify the completions."""
        begin = time.monotonic()
        group = self.config.rollouts.num_rollouts
        names = problem_id[::group]
        batch = self.problems.take([self.by_id[name] for name in names])
        if self.config.training.sampling == "trl":
            self.rollouts = self._as_rollouts(completions, completion_ids, problem_id)
        assert self.rollouts is not None
        # Problems may share a prompt: the engine looked rollouts up by prompt, TRL knows the row.
        column = self.rollouts.schema.get_field_index("problem_id")
        rollouts = self.rollouts.set_column(column, "problem_id", pa.array(problem_id))
        state = {"global_step": trainer_state.global_step, "max_steps": trainer_state.max_steps}
        verdicts = self.verifier.verify(batch, rollouts, None, state)
        self.verifier.require_works(always=True)
        self.history.add_rollouts(trainer_state.global_step, rollouts, verdicts)
        self.metrics = rollout_metrics(rollouts, verdicts)
        self.verifying_s += time.monotonic() - begin
        rewards: list[float | None] = verdicts["reward"].to_pylist()
        return rewards

    def _as_rollouts(
        self, completions: list[str], completion_ids: list[list[int]], problem_id: list[str]
    ) -> pa.Table:
        """Convert TRL's samples to a ROLLOUTS table."""
        group = self.config.rollouts.num_rollouts
        ends = set(self.engine.end_ids.tolist())
        rows = [
            {
                "problem_id": name,
                "sample": index % group,
                "completion": text,
                "token_ids": ids,
                "finish_reason": "stop" if ids and ids[-1] in ends else "length",
            }
            for index, (name, text, ids) in enumerate(
                zip(problem_id, completions, completion_ids, strict=True)
            )
        ]
        return pa.Table.from_pylist(rows, schema=ROLLOUTS)


def _recorder(
    bridge: _Bridge,
    history: History,
    save: Callable[[int], None],
    progress: Callable[[int], None],
) -> Any:
    """Create the callback that converts TRL's log to rows of STEPS."""
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.begin = time.monotonic()
            bridge.sampling_s = bridge.verifying_s = 0.0

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "grad_norm" not in logs:
                return
            elapsed_s = time.monotonic() - self.begin
            history.add_step(
                state.global_step - 1,
                num_problems=args.gradient_accumulation_steps,
                kl=logs.get("kl"),
                gradient_norm=logs["grad_norm"],
                learning_rate=logs["learning_rate"],
                sampling_s=bridge.sampling_s,
                verifying_s=bridge.verifying_s,
                learning_s=elapsed_s - bridge.sampling_s - bridge.verifying_s,
                **bridge.metrics,
            )
            progress(1)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            save(state.global_step)

    return Recorder()
