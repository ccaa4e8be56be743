"""The native trainer: one loop that samples, verifies and learns in each step."""

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.errors import LearnAlignError
from learnalign.gradients.engine import group_rollouts
from learnalign.training.history import History
from learnalign.training.learner import Learner
from learnalign.training.order import Indices

#: Gives each step its own random stream for a problem's rollouts.
SEED_STEP = 1_000_003


def train(
    learner: Learner,
    engine: Any,
    verifier: Any,
    problems: pa.Table,
    order: Indices,
    history: History,
    *,
    seed: int,
    save: Callable[[], None],
    save_every: int,
    progress: Callable[[int], None],
) -> None:
    """Run the remaining steps.

    Args:
        learner: `Learner` of the engine's model; ``learner.done`` steps are already complete.
        engine: `TransformersEngine` of that model; its seed is set at each step.
        verifier: `Verifier`.
        problems: PROBLEMS table.
        order: (steps, per_step) indices into ``problems``; see `step_problems`.
        history: Receives each step's rollouts and metrics.
        seed: Seed of the rollouts.
        save: Called after every ``save_every`` steps and after the last.
        save_every: Steps between two saves.
        progress: Called with 1 after each step.

    Raises:
        LearnAlignError: if training diverges (all logits of a step contain NaN or Inf), or if a
            reward function fails on every rollout.
    """
    for step in range(learner.done, len(order)):
        batch = problems.take(order[step])
        begin = time.monotonic()
        engine.seed = seed + SEED_STEP * (step + 1)
        engine.failures.clear()
        rollouts = engine.sample(batch)
        if len(engine.failures) == batch.num_rows:
            raise LearnAlignError(
                f"training diverged before step {step}: logits contain NaN or Inf",
                expected="finite logits",
                do="lower --learning-rate or raise --kl-beta; the last checkpoint is kept",
            )
        sampled = time.monotonic()
        state = {"global_step": step, "max_steps": len(order)}
        verdicts = verifier.verify(batch, rollouts, None, state)
        verifier.require_works(always=True)
        verified = time.monotonic()
        groups = group_rollouts(rollouts, verdicts)
        result = learner.step(
            batch["prompt_ids"].to_pylist(), [groups[i] for i in batch["problem_id"].to_pylist()]
        )
        learned = time.monotonic()
        history.add_rollouts(step, rollouts, verdicts)
        history.add_step(
            step,
            num_problems=batch.num_rows,
            kl=result.kl,
            gradient_norm=result.gradient_norm,
            learning_rate=result.learning_rate,
            sampling_s=sampled - begin,
            verifying_s=verified - sampled,
            learning_s=learned - verified,
            **rollout_metrics(rollouts, verdicts),
        )
        progress(1)
        if learner.done % save_every == 0 or learner.done == len(order):
            save()


def rollout_metrics(rollouts: pa.Table, verdicts: pa.Table) -> dict[str, float | None]:
    """Compute a step's metrics: groups with signal, mean reward and length, share truncated."""
    rewarded = verdicts.filter(verdicts["reward"].is_valid())
    spread = rewarded.group_by("problem_id").aggregate([("reward", "min"), ("reward", "max")])
    truncated = pc.equal(rollouts["finish_reason"], "length")
    return {
        "num_signal": pc.sum(pc.not_equal(spread["reward_min"], spread["reward_max"])).as_py() or 0,
        "mean_reward": pc.mean(verdicts["reward"]).as_py(),
        "mean_tokens": pc.mean(pc.list_value_length(rollouts["token_ids"])).as_py(),
        "share_truncated": pc.mean(truncated.cast("int8")).as_py(),
    }
