"""The gradient stage: rollouts and verdicts in, one sketched policy gradient a problem out."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from learnalign.config import GradientConfig
from learnalign.gradients.backward import GroupBackward
from learnalign.gradients.objective import rollout_weights
from learnalign.gradients.parameters import Accumulator, select_parameters
from learnalign.gradients.sketch import Sketch
from learnalign.tables import gradients_schema


@dataclass
class Group:
    """The rollouts of one problem that have a reward."""

    responses: list[list[int]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    @property
    def lengths(self) -> list[int]:
        """Response tokens of each rollout."""
        return [len(response) for response in self.responses]


class GradientEngine:
    """Computes policy gradients of a model, problem by problem.

    A problem's row depends on nothing but the problem, its rollouts, the model and the seed:
    neither on the other problems in the call nor on their order.

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
        model.eval()
        parameters = select_parameters(
            model, config.parameters, lora_rank=config.lora_rank, seed=seed
        )
        self.sums = Accumulator(parameters)
        self.backward = GroupBackward(
            model, temperature=temperature, token_budget=config.token_budget
        )
        self.sketch = Sketch(
            self.sums.num_values,
            config.sketch_size,
            seed=seed,
            device=next(iter(parameters.values())).device,
            dtype=self.sums.dtype,
        )

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
            has the negative). They are overwritten by the next call: clone what must stay.
        """
        weights = self._weights(group, counts)
        self.sums.zero()
        self.backward(prompt_ids, group.responses, weights.tolist())
        return self.sums.tensors()

    def rows(
        self,
        problems: pa.Table,
        rollouts: pa.Table,
        verdicts: pa.Table,
        *,
        resample_ids: frozenset[str] = frozenset(),
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """Compute one row a problem.

        Args:
            problems: PROBLEMS table; rollouts of other problems are passed over.
            rollouts: ROLLOUTS table.
            verdicts: VERDICTS table, with a row for each rollout.
            resample_ids: Problems whose gradient is taken once more on resampled rollouts.
            progress: Called with 1 after each problem.

        Returns:
            Table of `tables.gradients_schema`, in the order of ``problems``. Status ``no_signal``
            where all rewards are equal (no forward pass is run), ``nonfinite`` where the gradient
            holds NaN or Inf.
        """
        groups = _groups(rollouts, verdicts)
        rows = []
        for problem_id, prompt_ids in zip(
            problems["problem_id"].to_pylist(), problems["prompt_ids"].to_pylist(), strict=True
        ):
            rows.append(
                self._row(
                    problem_id, prompt_ids, groups[problem_id], resample=problem_id in resample_ids
                )
            )
            if progress is not None:
                progress(1)
        return pa.Table.from_pylist(rows, schema=gradients_schema(self.config.sketch_size))

    def _row(
        self, problem_id: str, prompt_ids: list[int], group: Group, *, resample: bool
    ) -> dict[str, object]:
        row: dict[str, object] = {
            "problem_id": problem_id,
            "status": "no_signal",
            "gradient_norm": 0.0,
            "num_rollouts": len(group.rewards),
            "num_tokens": sum(group.lengths),
        }
        if not self._weights(group, None).any():
            return row
        norm, sketch = self._sketched(prompt_ids, group, None)
        if not np.isfinite(norm):
            return row | {"status": "nonfinite", "gradient_norm": None}
        if norm == 0.0:
            return row
        row |= {"status": "ok", "gradient_norm": norm, "sketch": sketch}
        if resample:
            counts = self._resample(problem_id, len(group.rewards))
            row["resampled_counts"] = counts
            if self._weights(group, counts).any():
                norm, sketch = self._sketched(prompt_ids, group, counts)
                if np.isfinite(norm) and norm > 0.0:
                    row["resampled_sketch"] = sketch
        return row

    def _sketched(
        self, prompt_ids: list[int], group: Group, counts: NDArray[np.int64] | None
    ) -> tuple[float, NDArray[np.float16]]:
        """Give the exact norm, and the sketch divided by it."""
        gradient = self.gradient(prompt_ids, group, counts)
        squares = torch.stack([g.double().square().sum() for g in gradient.values()])
        norm = float(squares.sum().sqrt())
        if not np.isfinite(norm) or norm == 0.0:
            return norm, np.zeros(0, np.float16)
        sketch = self.sketch(gradient.values()) / norm
        return norm, sketch.to(torch.float16).cpu().numpy()

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

    def _resample(self, problem_id: str, num_rollouts: int) -> NDArray[np.int64]:
        """Draw how often each rollout counts in a bootstrap resample; seeded by the problem."""
        digest = hashlib.sha256(problem_id.encode()).digest()
        key = [self.seed, int.from_bytes(digest[:8], "little")]
        rng = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))
        return np.bincount(rng.integers(num_rollouts, size=num_rollouts), minlength=num_rollouts)


def _groups(rollouts: pa.Table, verdicts: pa.Table) -> defaultdict[str, Group]:
    """Join rollouts with their rewards; those without a reward do not count."""
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
    for problem_id, sample, token_ids in zip(
        rollouts["problem_id"].to_pylist(),
        rollouts["sample"].to_pylist(),
        rollouts["token_ids"].to_pylist(),
        strict=True,
    ):
        reward = rewards.get((problem_id, sample))
        if reward is not None:
            groups[problem_id].responses.append(token_ids)
            groups[problem_id].rewards.append(reward)
    return groups
