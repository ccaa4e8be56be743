"""AdamW steps on the GRPO objective: packed batches, accumulated and clipped gradients."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import get_scheduler

from learnalign.config import GradientConfig, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.gradients.backward import Backward
from learnalign.gradients.engine import Group
from learnalign.gradients.group_sketches import GroupSketcher, GroupSketches
from learnalign.gradients.layout import lay_out
from learnalign.gradients.logprobs import Floats, LogProbs
from learnalign.gradients.memory import enough, find_budget, is_out_of_memory, too_large
from learnalign.gradients.objective import rollout_weights, token_shares
from learnalign.gradients.probe import probe
from learnalign.gradients.tasks import GradientTask, KLTerm, group_tasks, make_task
from learnalign.training.master_weights import MasterWeights


@dataclass(frozen=True)
class Step:
    """Metrics of one step."""

    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    kl: float | None
    """Mean over tokens of ``pi_ref/pi - log(pi_ref/pi) - 1``; None without a KL term."""
    sketches: GroupSketches | None = None
    """Of each group's share of the loss's gradient, before the step; None without a sketcher."""


class Learner:
    """Trains a model on groups of its own rollouts.

    Each batch is used for one step, so the policy ratio is 1 and never clipped. A step equals that
    of TRL's GRPOTrainer on the same rollouts: same losses, AdamW and norm clipping (tested).
    Prompts are shared within a group; groups without a gradient are skipped.

    Args:
        model: A causal language model of transformers, or a PEFT model around one; parameters that
            require gradients are trained.
        training: Learning rate, clipping, KL term and other training options.
        objective: Loss and scaling of the rewards.
        temperature: Sampling temperature of the rollouts.
        max_tokens: Maximum length of a response (``dr_grpo`` divides by it).
        num_steps: Total number of steps; the learning rate's schedule ends there.
        reference: Reference model of the KL term; None for the model without its adapter.
        dtype: dtype of the model's forward pass; see `MasterWeights`. None keeps the model's.
        sketcher: Sketches the groups' gradients at a few of the model's layers.
    """

    def __init__(
        self,
        model: Any,
        training: TrainingConfig,
        objective: GradientConfig,
        *,
        temperature: float,
        max_tokens: int,
        num_steps: int,
        reference: nn.Module | None = None,
        dtype: torch.dtype | None = None,
        sketcher: GroupSketcher | None = None,
    ) -> None:
        self.masters = MasterWeights(model, dtype)
        self.model, self.training, self.objective = model, training, objective
        self.max_tokens, self.sketcher = max_tokens, sketcher
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        first = next(plain.parameters())
        self.device = first.device
        self.dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        self.backward = Backward(plain, temperature=temperature, kernel=objective.attention)
        probed = probe(self.backward, [])
        model.zero_grad()
        self.shared = probed.shared
        self.budget = objective.token_budget or find_budget(self.device, probed.bytes_per_token)
        self.enough = objective.token_budget or enough(self.device, first.dtype)
        self.optimizer = torch.optim.AdamW(
            list(self.masters.named.values()),
            lr=training.learning_rate,
            weight_decay=0.0,
            fused=self.device.type in ("cpu", "cuda"),  # a fifth of the time on a CPU
        )
        schedule = get_scheduler(
            training.schedule,
            self.optimizer,
            num_warmup_steps=training.warmup_steps,
            num_training_steps=num_steps,
        )
        self.factor = schedule.lr_lambdas[0]
        self.done, self.checkpointed = 0, False
        self.reference: LogProbs | None = None
        self.without_adapter: Any = nullcontext
        if training.kl_beta:
            if reference is None:
                self.without_adapter = model.disable_adapter
            self.reference = LogProbs(
                plain if reference is None else reference,
                temperature=temperature,
                token_budget=objective.token_budget,
                kernel=objective.attention,
            )

    def step(self, prompts: Sequence[Sequence[int]], groups: Sequence[Group]) -> Step:
        """Take one step on the rollouts of some problems.

        Args:
            prompts: Token ids, one prompt per problem.
            groups: Their rollouts and rewards.

        Raises:
            LearnAlignError: if memory runs out on a single response, or a gradient is not finite.
        """
        tasks = self._tasks(prompts, groups)
        kl = self._accumulate(tasks, len(groups))
        self.masters.fill_gradients()
        limit = self.training.max_grad_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(list(self.masters.named.values()), limit)
        if not bool(norm.isfinite()):
            raise LearnAlignError(
                f"the gradient of step {self.done} contains NaN or Inf",
                expected="finite gradients",
                do="lower --learning-rate or raise --kl-beta; the last checkpoint is kept",
            )
        rate = self.training.learning_rate * self.factor(self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.masters.write_back()
        self.masters.clear_gradients()
        self.done += 1
        sketches = None
        if self.sketcher is not None:
            sketches = self.sketcher.finish([task.key for task in tasks])
        return Step(float(norm), rate, kl, sketches)

    def _tasks(
        self, prompts: Sequence[Sequence[int]], groups: Sequence[Group]
    ) -> list[GradientTask]:
        """Compute each rollout's weight in the batch's loss; skip groups without a gradient.

        Weights are negated, because the objective is maximised and AdamW minimises.
        """
        reference = self._reference_logprobs(prompts, groups)
        total = sum(sum(group.lengths) for group in groups)
        tasks = []
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
            # The mean is over all rollouts of the batch; for dapo over all of its tokens.
            share = 1.0 / len(groups)
            if self.objective.loss == "dapo":
                share = sum(group.lengths) / max(1, total)
            loss, max_tokens = self.objective.loss, self.max_tokens
            weights = -share * rollout_weights(
                group.rewards,
                group.lengths,
                loss=loss,
                scale_rewards=self.objective.scale_rewards,
                max_tokens=max_tokens,
            )
            kl_term = None
            if reference is not None:
                strength = -share * self.training.kl_beta
                shares = strength * token_shares(group.lengths, loss=loss, max_tokens=max_tokens)
                kl_term = KLTerm(shares.tolist(), reference[index])
            tasks.append(make_task(index, prompt, group.responses, weights.tolist(), kl_term))
        return [task for task in tasks if task.responses]

    def _reference_logprobs(
        self, prompts: Sequence[Sequence[int]], groups: Sequence[Group]
    ) -> list[list[Floats]] | None:
        if self.reference is None:
            return None
        with self.without_adapter():
            return self.reference(
                [(p, group.responses) for p, group in zip(prompts, groups, strict=True)]
            )

    def _accumulate(self, tasks: list[GradientTask], num_groups: int) -> float | None:
        """Accumulate the loss's gradients over packs; start again if memory runs out."""
        longest = max((task.longest for task in tasks), default=0)
        if self.checkpointed or longest > self.budget:
            # Sampling has set the layers to evaluation mode again.
            self.checkpointed = self.backward.checkpoint()
        while True:
            packs = group_tasks(
                tasks, self.budget, enough=min(self.budget, self.enough), shared=self.shared
            )
            ratios = []
            if self.sketcher is not None:
                self.sketcher.start(num_groups)
            try:
                for batch in packs:
                    pack = lay_out(batch, shared=self.shared, device=self.device, dtype=self.dtype)
                    with self.sketcher.sketching(pack) if self.sketcher else nullcontext():
                        self.backward(pack)
                    ratios += [] if pack.ratios is None else [pack.ratios]
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(packs)
                continue
            if not ratios:
                return None
            ratio = torch.cat(ratios)
            return float((ratio - ratio.log() - 1.0).mean())

    def _shrink(self, packs: list[list[GradientTask]]) -> None:
        self.masters.clear_gradients()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        largest = max(sum(task.num_tokens for task in pack) for pack in packs)
        if any(len(pack) > 1 or len(pack[0].responses) > 1 for pack in packs):
            self.budget = max(1, min(self.budget, largest) // 2)
        elif not self.checkpointed and self.backward.checkpoint():
            self.checkpointed = True
        else:
            raise too_large(largest)
