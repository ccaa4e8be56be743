"""The gradient stage: rollouts and verdicts in, one sketched policy gradient a problem out."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from learnalign.config import GradientConfig
from learnalign.gradients.objective import rollout_weights, token_shares
from learnalign.gradients.policy import PolicyGradients, Problem, Row
from learnalign.gradients.tasks import KLTerm
from learnalign.tables import gradients_schema


@dataclass
class Group:
    """The rollouts of one problem that have a reward."""

    responses: list[list[int]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    references: list[list[float]] = field(default_factory=list)
    """Log-probabilities under the KL term's reference, rollout by rollout; empty without one."""

    @property
    def lengths(self) -> list[int]:
        """Response tokens of each rollout."""
        return [len(response) for response in self.responses]


class GradientEngine:
    """Computes policy gradients of a model, problem by problem.

    A problem's row depends on nothing but the problem, its rollouts, the model and the seed, up to
    rounding: neither on the other problems in the call nor on their order.

    Args:
        model: A causal language model of transformers. Its ``requires_grad`` flags are set, and it
            is put into evaluation mode.
        config: What is differentiated, and how it is stored.
        temperature: Of the rollouts; the logits are divided by it.
        seed: Of the sketch, of a fresh LoRA adapter and of the resampled groups.
        max_tokens: Longest response that could be sampled (``dr_grpo`` divides by it).
    """

    def __init__(
        self,
        model: nn.Module,
        config: GradientConfig,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> None:
        self.config, self.seed, self.max_tokens = config, seed, max_tokens
        self.gradients = PolicyGradients(model, config, temperature=temperature, seed=seed)

    def gradient(
        self, prompt_ids: list[int], group: Group, counts: NDArray[np.int64] | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the exact gradient of one problem's objective.

        Args:
            prompt_ids: Token ids of the prompt.
            group: The problem's rollouts and rewards.
            counts: (G,) how often each rollout counts (a bootstrap resample); None for once each.

        Returns:
            Parameter names to tensors of the parameters' shapes, to be climbed (a trainer's loss
            has the negative).
        """
        weights = self._weights(group, counts).tolist()
        return self.gradients.exact(prompt_ids, group.responses, weights, self._pull(group, counts))

    def rows(
        self,
        problems: pa.Table,
        rollouts: pa.Table,
        verdicts: pa.Table,
        *,
        references: pa.Table | None = None,
        resample_ids: frozenset[str] = frozenset(),
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """Compute one row a problem.

        Args:
            problems: PROBLEMS table; rollouts of other problems are passed over.
            rollouts: ROLLOUTS table.
            verdicts: VERDICTS table, with a row for each rollout.
            references: REFERENCES table, row for row that of ``rollouts``; needed for a KL term.
            resample_ids: Problems whose gradient is taken once more on resampled rollouts.
            progress: Called with a number of problems when they are done.

        Returns:
            Table of `tables.gradients_schema`, in the order of ``problems``. Status ``no_signal``
            where all rewards are equal (no forward pass is run), ``nonfinite`` where the gradient
            holds NaN or Inf.
        """
        groups = group_rollouts(rollouts, verdicts, references)
        advance = progress or (lambda count: None)
        rows: list[dict[str, Any]] = []
        wanted: list[tuple[int, bool]] = []
        jobs: list[Problem] = []
        for place, (name, prompt) in enumerate(
            zip(problems["problem_id"].to_pylist(), problems["prompt_ids"].to_pylist(), strict=True)
        ):
            group = groups[name]
            rows.append(_empty_row(name, group))
            weights = self._weights(group, None)
            if not weights.any():
                advance(1)
                continue
            wanted.append((place, False))
            jobs.append((prompt, group.responses, weights.tolist(), self._pull(group, None)))
            if name in resample_ids:
                counts = self._resample(name, len(group.rewards))
                rows[place]["resampled_counts"] = counts
                weights = self._weights(group, counts)
                if weights.any():
                    wanted.append((place, True))
                    pull = self._pull(group, counts)
                    jobs.append((prompt, group.responses, weights.tolist(), pull))

        def done(index: int) -> None:
            if not wanted[index][1]:
                advance(1)

        for (place, again), row in zip(wanted, self.gradients(jobs, done=done), strict=True):
            _fill(rows[place], row, again=again)
        return pa.Table.from_pylist(rows, schema=gradients_schema(self.config.sketch_size))

    def _weights(self, group: Group, counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Weigh the group's rollouts; a resampled one's copies add up."""
        index = np.arange(len(group.rewards))
        if counts is not None:
            index = np.repeat(index, counts)
        weights = rollout_weights(
            np.asarray(group.rewards)[index],
            np.asarray(group.lengths)[index],
            loss=self.config.loss,
            scale_rewards=self.config.scale_rewards,
            max_tokens=self.max_tokens,
        )
        sums = np.bincount(index, weights=weights, minlength=len(group.rewards))
        return sums.astype(np.float64)

    def _pull(self, group: Group, counts: NDArray[np.int64] | None) -> KLTerm | None:
        """Weigh the KL term of the group's rollouts; None without one."""
        if not self.config.kl_beta:
            return None
        times = np.ones(len(group.rewards), np.int64) if counts is None else counts
        index = np.repeat(np.arange(len(times)), times)
        shares = token_shares(
            np.asarray(group.lengths)[index], loss=self.config.loss, max_tokens=self.max_tokens
        )
        sums = np.bincount(index, weights=shares, minlength=len(times))
        return KLTerm((self.config.kl_beta * sums).tolist(), group.references)

    def _resample(self, problem_id: str, num_rollouts: int) -> NDArray[np.int64]:
        """Draw how often each rollout counts in a bootstrap resample; seeded by the problem."""
        digest = hashlib.sha256(problem_id.encode()).digest()
        key = [self.seed, int.from_bytes(digest[:8], "little")]
        rng = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))
        return np.bincount(rng.integers(num_rollouts, size=num_rollouts), minlength=num_rollouts)


def _empty_row(problem_id: str, group: Group) -> dict[str, Any]:
    return {
        "problem_id": problem_id,
        "status": "no_signal",
        "gradient_norm": 0.0,
        "num_rollouts": len(group.rewards),
        "num_tokens": sum(group.lengths),
    }


def _fill(row: dict[str, Any], found: Row, *, again: bool) -> None:
    """Put a gradient (``again``: that of the resampled group) into its problem's row."""
    if again:
        if row["status"] == "ok" and np.isfinite(found.norm) and found.norm > 0.0:
            row["resampled_sketch"] = found.sketch.tobytes()
    elif not np.isfinite(found.norm):
        row |= {"status": "nonfinite", "gradient_norm": None, "resampled_counts": None}
    elif found.norm > 0.0:
        row |= {"status": "ok", "gradient_norm": found.norm, "sketch": found.sketch.tobytes()}


def group_rollouts(
    rollouts: pa.Table, verdicts: pa.Table, references: pa.Table | None = None
) -> defaultdict[str, Group]:
    """Join rollouts with their rewards, by problem_id; those without a reward do not count.

    Args:
        rollouts: ROLLOUTS table.
        verdicts: VERDICTS table, in any order.
        references: REFERENCES table, row for row that of ``rollouts``.
    """
    rewards = {
        (problem_id, sample): reward
        for problem_id, sample, reward in zip(
            verdicts["problem_id"].to_pylist(),
            verdicts["sample"].to_pylist(),
            verdicts["reward"].to_pylist(),
            strict=True,
        )
    }
    groups: defaultdict[str, Group] = defaultdict(Group)
    pulls = [None] * rollouts.num_rows if references is None else references["logprobs"].to_pylist()
    for problem_id, sample, token_ids, pull in zip(
        rollouts["problem_id"].to_pylist(),
        rollouts["sample"].to_pylist(),
        rollouts["token_ids"].to_pylist(),
        pulls,
        strict=True,
    ):
        reward = rewards.get((problem_id, sample))
        if reward is not None:
            groups[problem_id].responses.append(token_ids)
            groups[problem_id].rewards.append(reward)
            if pull is not None:
                groups[problem_id].references.append(pull)
    return groups
