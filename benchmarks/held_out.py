"""How a model does on held-out problems, by LearnAlign's engine and verifier; merging adapters."""

import copy
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

import worked_problems
from fine_tuning import log_likelihood
from learnalign.config import Config, ModelConfig, VerifierConfig
from learnalign.models.loading import load_tokenizer, load_trainable
from learnalign.rollouts.transformers import TransformersEngine
from learnalign.storage.folders import atomic_folder
from learnalign.verifying.verifier import open_verifier


class Held:
    """Held-out problems, and how a model does on them.

    Args:
        rows: Problems with worked solutions.
        tokenizer: The model's.
        config: Prompt and maximum response length.
    """

    def __init__(self, rows: list[dict[str, Any]], tokenizer: Any, config: Config) -> None:
        self.tokenizer = tokenizer
        self.examples = worked_problems.examples(rows, tokenizer, config)
        self.problems = worked_problems.problems_table(rows, tokenizer, config)
        self.rollouts = config.rollouts.model_copy(
            update={"num_rollouts": 1, "temperature": 0.0, "token_budget": 16_384}
        )

    def evaluate(self, model: Any, batch_size: int) -> dict[str, Any]:
        """Return log-likelihood a response token, greedy accuracy in all and by level, lengths."""
        begin = time.monotonic()
        model = merged(model)
        likelihood = log_likelihood(model, self.examples, batch_size)
        engine = TransformersEngine(model, self.tokenizer, self.rollouts, seed=0)
        rollouts = engine.sample(self.problems)
        with open_verifier(VerifierConfig(kind="number", workers=1)) as verifier:
            verdicts = verifier.verify(self.problems, rollouts)
        rewards = verdicts.select(["problem_id", "reward"])
        levels = self.problems.select(["problem_id", "difficulty"])
        by_level = rewards.join(levels, "problem_id").group_by("difficulty")
        means = by_level.aggregate([("reward", "mean")]).sort_by("difficulty").to_pylist()
        ended = rollouts["finish_reason"].to_pylist().count("stop") / rollouts.num_rows
        return {
            "log_likelihood": likelihood,
            "accuracy": _mean(rewards["reward"]),
            "by_level": {row["difficulty"]: row["reward_mean"] for row in means},
            "share_ended": ended,
            "response_tokens": sum(map(len, rollouts["token_ids"].to_pylist())) / rollouts.num_rows,
            "num_problems": rollouts.num_rows,
            "seconds": time.monotonic() - begin,
        }


def _mean(column: pa.ChunkedArray) -> float:
    values = column.to_pylist()
    return sum(value or 0.0 for value in values) / len(values)


def merged(model: Any) -> Any:
    """Return a copy with the adapter merged into the weights: faster, and what is trained later."""
    if not hasattr(model, "merge_and_unload"):
        return model
    return copy.deepcopy(model).merge_and_unload()


def merge(model: str, adapter: Path, out: Path) -> None:
    """Write the model with the adapter merged into its weights, in float32, and the tokenizer."""
    source = ModelConfig(path=model, adapter=adapter, device="cpu")
    whole = load_trainable(source, parameters="full", lora_rank=1, seed=0, dtype=torch.float32)
    with atomic_folder(out) as folder:
        whole.save_pretrained(folder)
        load_tokenizer(source).save_pretrained(folder)
