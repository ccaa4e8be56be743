"""Sums for SmolLM2 with its own rollouts and rewards: a small real pool for a device's checks."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from cuda_clock import Options
from harness import ROOT
from learnalign.config import ModelConfig, RolloutConfig
from learnalign.gradients.engine import Group
from learnalign.gradients.objective import rollout_weights
from learnalign.rollouts.transformers import TransformersEngine

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"
TOKENS = 6


@dataclass
class Sums:
    """Problems and their groups."""

    prompts: list[list[int]]
    groups: list[Group]

    @property
    def jobs(self) -> list[tuple[list[int], list[list[int]], list[float]]]:
        """Prompt, responses and weights of each problem."""
        return [
            (
                prompt,
                group.responses,
                rollout_weights(group.rewards, group.lengths, max_tokens=TOKENS).tolist(),
            )
            for prompt, group in zip(self.prompts, self.groups, strict=True)
        ]

    @property
    def rates(self) -> np.ndarray:
        """(n,) success rates."""
        return np.array([np.mean(group.rewards) for group in self.groups])

    def sampled(
        self, model: Any, tokenizer: Any, temperature: float, tokens: int, **more: Any
    ) -> list[list[int]]:
        """Sample four rollouts of the first 12 problems with a model.

        ``more`` are options of the rollouts; those that this version does not have are left out.
        """
        known = {key: value for key, value in more.items() if key in RolloutConfig.model_fields}
        config = RolloutConfig(num_rollouts=4, max_tokens=tokens, temperature=temperature, **known)
        engine = TransformersEngine(model, tokenizer, config, seed=3)
        try:
            found: list[list[int]] = engine.sample(_table(self.prompts[:12]))[
                "token_ids"
            ].to_pylist()
        finally:
            getattr(engine, "close", lambda: None)()  # an engine may keep graphs
        return found


def load(options: Options) -> tuple[Any, Any] | None:
    """Load SmolLM2 in float32 on the CPU with its tokenizer; None if it is not there."""
    from learnalign.models.loading import load_model, load_tokenizer

    if not (MODEL / "config.json").is_file():
        return None
    config = ModelConfig(path=str(MODEL), device="cpu")
    return load_model(config, dtype=torch.float32), load_tokenizer(config)


def sums(model: Any, tokenizer: Any, *, count: int, group: int) -> Sums:
    """Sample sums that the model sometimes solves; keep those with both right and wrong rollouts.

    Args:
        model: On the CPU.
        tokenizer: Its tokenizer.
        count: How many sums; about half of them have a signal.
        group: Rollouts of each.
    """
    rng = np.random.default_rng(5)
    pairs = rng.integers(2, 20, (count, 2)).tolist()
    texts = [f"2 + 3 = 5\n{one} + {other} =" for one, other in pairs]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    config = RolloutConfig(num_rollouts=group, max_tokens=TOKENS, stop=("\n", ".", ","))
    engine = TransformersEngine(model, tokenizer, config, seed=0)
    found = engine.sample(_table(prompts))
    groups = [Group() for _ in prompts]
    for row in found.to_pylist():
        place = int(row["problem_id"])
        said = re.match(r"\s*(\d+)", row["completion"])
        groups[place].responses.append(row["token_ids"])
        groups[place].rewards.append(float(said is not None and int(said[1]) == sum(pairs[place])))
    kept = [place for place, one in enumerate(groups) if len(set(one.rewards)) > 1]
    return Sums([prompts[place] for place in kept], [groups[place] for place in kept])


def _table(prompts: list[list[int]]) -> pa.Table:
    ids = [str(place) for place in range(len(prompts))]
    return pa.table({"problem_id": ids, "prompt_ids": prompts})
