"""The native trainer: sample, verify, learn, once a step, in one loop."""

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

#: Keeps the random streams of a problem's rollouts apart from step to step.
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
    """Make the steps that are left.

    Args:
        learner: Of the model that the engine samples with; ``learner.done`` steps are made already.
        engine: `TransformersEngine` of that model; its random streams are set at each step.
        verifier: `Verifier`.
        problems: PROBLEMS table.
        order: (steps, per_step) places of problems; see `step_problems`.
        history: Gets each step's rollouts and figures.
        seed: Of the rollouts.
        save: Called after every ``save_every`` steps and after the last.
        save_every: Steps between two saves.
        progress: Called with 1 after each step.

    Raises:
        LearnAlignError: if the policy has come apart: all logits of a step hold NaN or Inf; and if
            a reward function fails on every rollout.
    """
    for step in range(learner.done, len(order)):
        some = problems.take(order[step])
        begin = time.monotonic()
        engine.seed = seed + SEED_STEP * (step + 1)
        engine.failures.clear()
        rollouts = engine.sample(some)
        if len(engine.failures) == some.num_rows:
            raise LearnAlignError(
                f"the policy came apart before step {step}: its logits hold NaN or Inf",
                expected="a training that stays finite",
                do="lower --learning-rate, or raise --kl-beta; the last checkpoint stands",
            )
        sampled = time.monotonic()
        state = {"global_step": step, "max_steps": len(order)}
        verdicts = verifier.verify(some, rollouts, None, state)
        verifier.require_works(always=True)
        verified = time.monotonic()
        groups = group_rollouts(rollouts, verdicts)
        done = learner.step(
            some["prompt_ids"].to_pylist(), [groups[i] for i in some["problem_id"].to_pylist()]
        )
        learned = time.monotonic()
        history.add_rollouts(step, rollouts, verdicts)
        history.add_step(
            step,
            num_problems=some.num_rows,
            kl=done.kl,
            gradient_norm=done.gradient_norm,
            learning_rate=done.learning_rate,
            sampling_s=sampled - begin,
            verifying_s=verified - sampled,
            learning_s=learned - verified,
            **rollout_figures(rollouts, verdicts),
        )
        progress(1)
        if learner.done % save_every == 0 or learner.done == len(order):
            save()


def rollout_figures(rollouts: pa.Table, verdicts: pa.Table) -> dict[str, float | None]:
    """Sum up a step's rollouts: groups with a signal, mean reward and length, share cut off."""
    known = verdicts.filter(verdicts["reward"].is_valid())
    spread = known.group_by("problem_id").aggregate([("reward", "min"), ("reward", "max")])
    truncated = pc.equal(rollouts["finish_reason"], "length")
    return {
        "num_signal": pc.sum(pc.not_equal(spread["reward_min"], spread["reward_max"])).as_py() or 0,
        "mean_reward": pc.mean(verdicts["reward"]).as_py(),
        "mean_tokens": pc.mean(pc.list_value_length(rollouts["token_ids"])).as_py(),
        "share_truncated": pc.mean(truncated.cast("int8")).as_py(),
    }
