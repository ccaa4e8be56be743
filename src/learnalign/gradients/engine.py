"""The gradient stage: rollouts and verdicts in, one sketched policy gradient per problem out."""

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
    """Log-probabilities under the KL term's reference, per rollout; empty without a KL term."""

    @property
    def lengths(self) -> list[int]:
        """Number of response tokens of each rollout."""
        return [len(response) for response in self.responses]


class GradientEngine:
    """Computes a model's policy gradient for each problem.

    Up to rounding, a problem's row depends only on the problem, its rollouts, the model and the
    seed, not on the other problems in the call or their order.

    Args:
        model: A causal language model of transformers. Its ``requires_grad`` flags are set, and it
            is put into evaluation mode.
        config: Which weights to differentiate, and how to store the gradients.
        temperature: Temperature of the rollouts; divides the logits.
        seed: Seed of the sketch, a new LoRA adapter and the resampled groups.
        max_tokens: Maximum response length when sampling (``dr_grpo`` divides by it).
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
            counts: (G,) how often each rollout counts (a bootstrap resample); once each if None.

        Returns:
            Gradients by parameter name, in the parameters' shapes, for gradient ascent (a trainer's
            loss is the negative).
        """
        weights = self._weights(group, counts).tolist()
        kl_term = self._kl_term(group, counts)
        return self.gradients.exact(prompt_ids, group.responses, weights, kl_term)

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
        """Compute one row per problem.

        Args:
            problems: PROBLEMS table; rollouts of other problems are ignored.
            rollouts: ROLLOUTS table.
            verdicts: VERDICTS table, with a row for each rollout.
            references: REFERENCES table with the rows of ``rollouts``; needed for a KL term.
            resample_ids: Problems whose gradient is also computed on resampled rollouts.
            progress: Called with the number of problems just finished.

        Returns:
            Table of `tables.gradients_schema`, in the order of ``problems``. The status is
            ``no_signal`` if all rewards are equal (no forward pass is run), ``nonfinite`` if the
            gradient contains NaN or Inf.
        """
        groups = group_rollouts(rollouts, verdicts, references)
        advance = progress or (lambda count: None)
        rows: list[dict[str, Any]] = []
        targets: list[tuple[int, bool]] = []
        jobs: list[Problem] = []
        for index, (name, prompt) in enumerate(
            zip(problems["problem_id"].to_pylist(), problems["prompt_ids"].to_pylist(), strict=True)
        ):
            group = groups[name]
            rows.append(_empty_row(name, group))
            weights = self._weights(group, None)
            if not weights.any():
                advance(1)
                continue
            targets.append((index, False))
            jobs.append((prompt, group.responses, weights.tolist(), self._kl_term(group, None)))
            if name in resample_ids:
                counts = self._resample(name, len(group.rewards))
                rows[index]["resampled_counts"] = counts
                weights = self._weights(group, counts)
                if weights.any():
                    targets.append((index, True))
                    kl_term = self._kl_term(group, counts)
                    jobs.append((prompt, group.responses, weights.tolist(), kl_term))

        def done(job: int) -> None:
            if not targets[job][1]:
                advance(1)

        for (index, resampled), row in zip(targets, self.gradients(jobs, done=done), strict=True):
            _fill(rows[index], row, resampled=resampled)
        return pa.Table.from_pylist(rows, schema=gradients_schema(self.config.sketch_size))

    def _weights(self, group: Group, counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Compute the rollouts' weights; copies of a resampled rollout add up."""
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

    def _kl_term(self, group: Group, counts: NDArray[np.int64] | None) -> KLTerm | None:
        """Compute the group's KL term; None without one."""
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
        """Sample how often each rollout counts in a bootstrap resample; seeded by the problem."""
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


def _fill(row: dict[str, Any], gradient: Row, *, resampled: bool) -> None:
    """Add a gradient (``resampled``: that of the resampled group) to its problem's row."""
    if resampled:
        if row["status"] == "ok" and np.isfinite(gradient.norm) and gradient.norm > 0.0:
            row["resampled_sketch"] = gradient.sketch.tobytes()
    elif not np.isfinite(gradient.norm):
        row |= {"status": "nonfinite", "gradient_norm": None, "resampled_counts": None}
    elif gradient.norm > 0.0:
        row |= {"status": "ok", "gradient_norm": gradient.norm, "sketch": gradient.sketch.tobytes()}


def group_rollouts(
    rollouts: pa.Table, verdicts: pa.Table, references: pa.Table | None = None
) -> defaultdict[str, Group]:
    """Group rollouts with their rewards by problem_id; those without a reward are left out.

    Args:
        rollouts: ROLLOUTS table.
        verdicts: VERDICTS table, in any order.
        references: REFERENCES table with the rows of ``rollouts``.
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
    logprobs = [None] * rollouts.num_rows
    if references is not None:
        logprobs = references["logprobs"].to_pylist()
    for problem_id, sample, token_ids, reference in zip(
        rollouts["problem_id"].to_pylist(),
        rollouts["sample"].to_pylist(),
        rollouts["token_ids"].to_pylist(),
        logprobs,
        strict=True,
    ):
        reward = rewards.get((problem_id, sample))
        if reward is not None:
            groups[problem_id].responses.append(token_ids)
            groups[problem_id].rewards.append(reward)
            if reference is not None:
                groups[problem_id].references.append(reference)
    return groups
