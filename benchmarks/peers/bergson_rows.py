"""Rows by bergson: hooks on every linear layer, a two-sided projection, an in-memory index."""

import logging
import os
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from bergson import CollectorComputer, InMemoryCollector, PreprocessConfig
from bergson.config.config import DataConfig, DistributedConfig, IndexConfig
from bergson.data import allocate_batches
from bergson.utils.worker_utils import processor_for, setup_model_and_peft
from datasets import Dataset
from groups import Rollout, arguments, compare, exact, load, resident, rollouts, say, small, timed

SIDE = 16


def settings(options: Any, folder: str, side: int) -> IndexConfig:
    """Return the library's settings: its defaults except for projection and token budget."""
    return IndexConfig(
        run_path=str(Path(folder) / "run"),
        model=options.model,
        precision={"float32": "fp32", "bfloat16": "bf16"}[options.dtype],
        projection_dim=side,
        token_batch_size=options.token_batch_size,
        loss_reduction="sum",
        data=DataConfig(advantage_column="advantage"),
        distributed=DistributedConfig(nproc_per_node=1),
    )


def make(model: Any, chosen: list[Rollout], config: IndexConfig) -> torch.Tensor:
    """Compute the rows like ``build_worker``, in memory.

    The loss is a cross-entropy, so the advantage is the negative of our weight.
    """
    data = Dataset.from_dict(
        {
            "input_ids": [rollout.ids for rollout in chosen],
            "labels": [[-100] * rollout.start + rollout.ids[rollout.start :] for rollout in chosen],
            "advantage": [-rollout.weight for rollout in chosen],
            "length": [len(rollout.ids) for rollout in chosen],
        }
    )
    config.partial_run_path.mkdir(parents=True, exist_ok=True)
    collector = InMemoryCollector(
        model=model.base_model,
        data=data,
        cfg=config,
        processor=processor_for(config),
        preprocess_cfg=PreprocessConfig(),
    )
    CollectorComputer(
        model=model,
        data=data,
        collector=collector,
        batches=allocate_batches(data["length"][:], config.token_batch_size),
        cfg=config,
    ).run_with_collector_hooks()
    return torch.cat(list(collector.gradients.values()), dim=1)


def prepared(config: IndexConfig, frozen: bool) -> Any:
    """Load the model with bergson; ``frozen``: without the gradient of the embeddings.

    bergson leaves the input embeddings trainable to make gradients flow. If they are tied to the
    output layer, autograd also computes that layer's gradient, which is not part of the rows.
    """
    model, _ = setup_model_and_peft(config)
    if frozen:
        model.requires_grad_(False)
        # bergson needs one trainable weight; the first norm's is early enough and free.
        names = dict(model.named_parameters())
        names[next(name for name in names if "norm" in name)].requires_grad_(True)
    return model.eval()


def main() -> None:
    """Measure the time, or check rows without and with projection against plain autograd."""
    options = arguments(
        token_batch_size={"type": int, "default": 2048},
        frozen_embeddings={
            "action": "store_true",
            "help": "without the gradient of tied embeddings",
        },
    )
    logging.disable(logging.INFO)
    with TemporaryDirectory() as folder:
        config = settings(options, folder, SIDE)
        model = prepared(config, options.frozen_embeddings)
        held = resident()
        chosen = rollouts(options.groups)
        if options.check:
            rows = make(model, chosen, config)
            whole = make(model, chosen, settings(options, folder, 0))
            plain = load(options.model, options.dtype)
            weights = [
                layer.weight
                for layer in plain.base_model.modules()
                if isinstance(layer, torch.nn.Linear)
            ]
            truth = exact(plain, chosen, weights)
            compare("without projection", whole, truth)
            compare("projected", rows, truth)
            return
        make(model, rollouts(small(options.groups[:1])), config)
        rows, spent = timed(lambda: make(model, rollouts(options.groups), config))
    lean = "no gradient of the embeddings" if options.frozen_embeddings else "its own loader"
    note = (
        f"one row of {rows.shape[1]:,} per rollout; two-sided Rademacher {SIDE} x {SIDE} per "
        f"layer, all linear layers except the output; batches of {options.token_batch_size:,} "
        f"tokens; {lean}; groups without signal are included; {options.dtype}"
    )
    made_by = f"bergson {version('bergson')}, torch {torch.__version__}"
    say("bergson", made_by, spent, len(rows), note, rollouts=len(chosen), model_bytes=held)


if __name__ == "__main__":
    main()
