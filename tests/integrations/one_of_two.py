"""One of two processes of a training with TRL on processors, and its resume; writes what it saw.

Usage: one_of_two.py MODEL FOLDER, with the environment of torch.distributed.
"""

import json
import os
import sys
from pathlib import Path

PROMPTS = [f"{a}+{b}=" for a in range(10) for b in range(10 - a)][:16]


def run(model: Path, folder: Path, resumed: bool) -> dict:
    """Train, and return the calls of the reward function, the outcomes observed and a weight."""
    import datasets
    import torch
    import trl

    from learnalign.config import ModelConfig
    from learnalign.curriculum.registry import curriculum_named
    from learnalign.integrations.trl import CurriculumMixin
    from learnalign.models.loading import load_model, load_tokenizer

    class Grpo(CurriculumMixin, trl.GRPOTrainer):
        pass

    rank, calls, observed = int(os.environ["RANK"]), [], []

    def rewards(prompts, completions, **_others):
        calls.append(list(zip(prompts, completions, strict=True)))
        return [float(len(c) == 1 and c in "02468") for c in completions]

    # Seeds differ: the processes would choose differently if each chose for itself.
    curriculum = curriculum_named("mapp", len(PROMPTS), seed=rank, num_rollouts=4)
    observe = curriculum.observe

    def observing(indices, successes, num_rollouts, **more):
        observed.append([indices.tolist(), successes.tolist()])
        return observe(indices, successes, num_rollouts, **more)

    curriculum.observe = observing
    config = ModelConfig(path=str(model), device="cpu")
    trainer = Grpo(
        model=load_model(config, dtype=torch.float32),
        reward_funcs=rewards,
        args=trl.GRPOConfig(
            output_dir=str(folder), max_steps=6, save_strategy="steps", save_steps=2,
            num_generations=4, max_completion_length=1, per_device_train_batch_size=3,
            gradient_accumulation_steps=2, num_iterations=2, use_cpu=True, bf16=False,
            report_to=[], disable_tqdm=True, gradient_checkpointing=False, learning_rate=1e-2,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": PROMPTS}),
        processing_class=load_tokenizer(config),
        curriculum=curriculum,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-2") if resumed else None)
    weight = next(iter(trainer.accelerator.unwrap_model(trainer.model).parameters()))
    return {
        "calls": calls,
        "observed": observed,
        "weight": weight.sum().item(),
        "processes": trainer.accelerator.num_processes,
    }


if __name__ == "__main__":
    model, folder = map(Path, sys.argv[1:])
    found = [run(model, folder, resumed) for resumed in (False, True)]
    (folder / f"seen-{os.environ['RANK']}.json").write_text(json.dumps(found))
