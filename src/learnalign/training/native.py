"""The native trainer: in each step it samples what the curriculum chooses, verifies and learns."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.curriculum.base import Curriculum, Indices
from learnalign.curriculum.step import Outcomes, collect_step
from learnalign.errors import LearnAlignError
from learnalign.gradients.engine import group_rollouts
from learnalign.training.history import History
from learnalign.training.learner import Learner

#: Gives each step its own random stream for a problem's rollouts.
SEED_STEP = 1_000_003


def train(
    learner: Learner,
    engine: Any,
    verifier: Any,
    problems: pa.Table,
    curriculum: Curriculum,
    history: History,
    *,
    num_steps: int,
    per_step: int,
    max_groups: int | None = None,
    seed: int,
    save: Callable[[], None],
    save_every: int,
    progress: Callable[[int], None],
    after_step: Callable[[dict[str, Any], Any], None] | None = None,
) -> None:
    """Run the remaining steps.

    Args:
        learner: `Learner` of the engine's model; ``learner.done`` steps are already complete.
        engine: `TransformersEngine` of that model; its seed is set at each step.
        verifier: `Verifier`.
        problems: PROBLEMS table.
        curriculum: Chooses each step's problems, as indices into ``problems``. It observes their
            gradients if the learner sketches them.
        history: Receives each step's rollouts and metrics.
        num_steps: Number of steps of the whole training.
        per_step: Problems per step; a curriculum that drops groups samples more.
        max_groups: The training ends after the step in which this many groups have been sampled.
        seed: Seed of the rollouts.
        save: Called after every ``save_every`` steps and after the last.
        save_every: Steps between two saves.
        progress: Called with 1 after each step.
        after_step: Called after each step with its row of STEPS and the model.

    Raises:
        LearnAlignError: if training diverges (all logits of a step contain NaN or Inf), if a
            reward function fails on every rollout, or if the curriculum needs rewards from 0 to 1
            and gets others.
    """
    for step in range(learner.done, num_steps):
        if _spent(curriculum, max_groups):
            return
        engine.seed = seed + SEED_STEP * (step + 1)
        state = {"global_step": step, "max_steps": num_steps}
        sampling = _Sampling(engine, verifier, problems, curriculum, state)
        chosen = collect_step(curriculum, per_step, sampling)
        # Without a signal only a KL term has a gradient; the step is made, as by any trainer.
        trained = chosen.trained if len(chosen.trained) else chosen.sampled[-per_step:]
        rollouts, verdicts = sampling.tables()
        groups = group_rollouts(rollouts, verdicts)
        batch = problems.take(trained)
        ids = batch["problem_id"].to_pylist()
        begin = time.monotonic()
        result = learner.step(batch["prompt_ids"].to_pylist(), [groups[i] for i in ids])
        if result.sketches is not None:
            # With a KL term groups of equal rewards have a gradient too, but not of the reward.
            found = result.sketches.groups
            signal = np.array([len(set(groups[ids[i]].rewards)) > 1 for i in found], dtype=bool)
            curriculum.observe_gradients(trained[found[signal]], result.sketches.values[signal])
        learned = time.monotonic()
        history.add_rollouts(
            step,
            rollouts,
            verdicts,
            trained=frozenset(ids),
            expected=sampling.expected,
            noise=sampling.noise,
        )
        history.add_step(
            step,
            num_problems=batch.num_rows,
            num_sampled=len(chosen.sampled),
            coverage=curriculum.metrics()["coverage"],
            kl=result.kl,
            gradient_norm=result.gradient_norm,
            learning_rate=result.learning_rate,
            sampling_s=sampling.sampling_s,
            verifying_s=sampling.verifying_s,
            learning_s=learned - begin,
            **rollout_metrics(rollouts, verdicts),
        )
        progress(1)
        if after_step is not None:
            after_step(history.steps[-1], learner.model)
        last = learner.done == num_steps or _spent(curriculum, max_groups)
        if learner.done % save_every == 0 or last:
            save()


def _spent(curriculum: Curriculum, max_groups: int | None) -> bool:
    return max_groups is not None and int(curriculum.times_observed.sum()) >= max_groups


class _Sampling:
    """Samples and verifies the rounds of one step; called with the problems of a round."""

    def __init__(
        self,
        engine: Any,
        verifier: Any,
        problems: pa.Table,
        curriculum: Curriculum,
        state: dict[str, int],
    ) -> None:
        self.engine, self.verifier, self.problems = engine, verifier, problems
        self.curriculum, self.state = curriculum, state
        self.estimates, self.noise_chances = curriculum.estimates(), curriculum.noise_chances()
        self.expected: dict[str, float] = {}
        """Success rates that the curriculum expected before the step, by problem id."""
        self.noise: dict[str, float] = {}
        """Chances of noise that the curriculum gave before the step, by problem id."""
        self.sampling_s = self.verifying_s = 0.0
        self._rounds: list[tuple[pa.Table, pa.Table]] = []

    def __call__(self, indices: Indices) -> Outcomes:
        """Sample and verify one round."""
        batch = self.problems.take(indices)
        ids = batch["problem_id"].to_pylist()
        if self.estimates is not None:
            self.expected |= dict(zip(ids, self.estimates[indices].tolist(), strict=True))
        if self.noise_chances is not None:
            chances = zip(ids, self.noise_chances[indices].tolist(), strict=True)
            self.noise |= {name: chance for name, chance in chances if not np.isnan(chance)}
        begin = time.monotonic()
        self.engine.failures.clear()
        rollouts = self.engine.sample(batch)
        if len(self.engine.failures) == batch.num_rows:
            raise LearnAlignError(
                f"training diverged before step {self.state['global_step']}: logits contain NaN "
                "or Inf",
                expected="finite logits",
                do="lower --learning-rate or raise --kl-beta; the last checkpoint is kept",
            )
        sampled = time.monotonic()
        verdicts = self.verifier.verify(batch, rollouts, None, self.state)
        self.verifier.require_works(always=True)
        self.sampling_s += sampled - begin
        self.verifying_s += time.monotonic() - sampled
        self._rounds.append((rollouts, verdicts))
        groups = group_rollouts(rollouts, verdicts)
        rewards = [groups[name].rewards for name in ids]
        counts = np.array([len(group) for group in rewards])
        differs = np.array([len(set(group)) > 1 for group in rewards])
        return Outcomes(self._sums(rewards), counts, has_signal=differs)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return the ROLLOUTS and VERDICTS of all rounds."""
        rollouts, verdicts = zip(*self._rounds, strict=True)
        return pa.concat_tables(rollouts), pa.concat_tables(verdicts)

    def _sums(self, rewards: list[list[float]]) -> NDArray[np.float64]:
        found = [reward for group in rewards for reward in group if not 0.0 <= reward <= 1.0]
        if found and self.estimates is not None:
            raise LearnAlignError(
                f"the curriculum {self.curriculum.name} got a reward of {found[0]}",
                expected="rewards from 0 to 1, from which it estimates success rates",
                do="scale the rewards, or use --curriculum order or dynamic",
            )
        return np.array([float(np.clip(group, 0.0, 1.0).sum()) for group in rewards])


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
