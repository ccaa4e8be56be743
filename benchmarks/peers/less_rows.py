"""Rows as in LESS: a backward pass per rollout over LoRA weights, then a Rademacher projection."""

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from groups import (
    Rollout,
    arguments,
    compare,
    exact,
    load,
    logp,
    resident,
    rollouts,
    say,
    small,
    timed,
)
from peft import LoraConfig, get_peft_model

DIMENSIONS = 8192
EVERY = {"trak": 16, "blocks": 64}


def adapted(model: Any) -> tuple[Any, list[torch.Tensor]]:
    """Add a LoRA of rank 16 to all linear layers, with B not zero (as after a warm-up)."""
    settings = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")
    torch.manual_seed(0)
    model = get_peft_model(model, settings, autocast_adapter_dtype=False).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    return model, [weight for weight in model.parameters() if weight.requires_grad]


def gradient(model: Any, rollout: Rollout, weights: list[torch.Tensor]) -> torch.Tensor:
    """Compute one rollout's row before projection."""
    parts = torch.autograd.grad(rollout.weight * logp(model, rollout), weights)
    return torch.cat([part.flatten() for part in parts]).float()


class Blocks:
    """A dense projection with random signs, generated from bits and applied in slabs."""

    def __init__(self, size: int, dimensions: int) -> None:
        self.size = size
        self.dimensions = dimensions
        bits = np.unpackbits(np.arange(1 << 16, dtype=np.uint16)[:, None].view(np.uint8), axis=1)
        self.table = torch.from_numpy(bits.astype(np.float32) * 2 - 1)

    def project(self, rows: torch.Tensor, model_id: int) -> torch.Tensor:
        """Multiply rows by a matrix of random signs, the same at every call."""
        generator = np.random.Generator(np.random.SFC64(model_id))
        result = torch.zeros(len(rows), self.dimensions)
        slab = 2048
        signs = torch.empty(slab * self.dimensions // 16, 16)
        for first in range(0, self.size, slab):
            part = rows[:, first : first + slab]
            words = generator.integers(0, 1 << 16, len(signs), dtype=np.uint16)
            torch.index_select(self.table, 0, torch.from_numpy(words.astype(np.int32)), out=signs)
            result.addmm_(part, signs.view(slab, self.dimensions)[: part.shape[1]])
        return result


def projector(kind: str, size: int) -> Any:
    """Return TRAK's projector with LESS's settings, or the same projection in blocks."""
    if kind == "blocks":
        return Blocks(size, DIMENSIONS)
    from trak.projectors import BasicProjector, ProjectionType

    return BasicProjector(
        size, DIMENSIONS, 0, ProjectionType.rademacher, torch.device("cpu"), block_size=128
    )


def make(
    model: Any, chosen: list[Rollout], weights: list[torch.Tensor], kind: str
) -> tuple[torch.Tensor, float]:
    """Compute all projected rows, and the seconds spent on projection."""
    size = sum(weight.numel() for weight in weights)
    used, took = timed(lambda: projector(kind, size))
    done, spent = [], took.wall
    for first in range(0, len(chosen), EVERY[kind]):
        batch = chosen[first : first + EVERY[kind]]
        rows = torch.empty(len(batch), size)
        for index, rollout in enumerate(batch):
            rows[index] = gradient(model, rollout, weights)
        projected, took = timed(lambda rows=rows: used.project(rows, model_id=0))
        done.append(projected)
        spent += took.wall
    return torch.cat(done), spent


def main() -> None:
    """Measure the time, or check rows before and after projection against plain autograd."""
    options = arguments(
        projector={
            "choices": ["blocks", "trak"],
            "default": "blocks",
            "help": "trak: its BasicProjector, minutes for every 16 rows on a CPU",
        }
    )
    model, weights = adapted(load(options.model, options.dtype))
    held = resident()
    chosen = rollouts(options.groups)
    if options.check:
        truth = exact(model, chosen, weights)
        rows = torch.stack([gradient(model, rollout, weights) for rollout in chosen])
        compare("before projection", rows, truth)
        made, _ = make(model, chosen, weights, options.projector)
        compare("projected", made / DIMENSIONS**0.5, truth)
        return
    for rollout in rollouts(small(options.groups[:1])):
        gradient(model, rollout, weights)
    (rows, projecting), spent = timed(
        lambda: make(model, rollouts(options.groups), weights, options.projector)
    )
    means = {
        "trak": "TRAK's BasicProjector in blocks of 128, every 16 rows, as LESS sets it",
        "blocks": "our torch matrix of signs in slabs, every 64 rows: TRAK's BasicProjector takes "
        "minutes for the same matrix, its fast one needs CUDA",
    }[options.projector]
    note = (
        f"one row per rollout; LoRA r 16 on all linear layers ({sum(w.numel() for w in weights):,} "
        f"weights), B random with std 0.02; batch 1; Rademacher to {DIMENSIONS:,}: {means}; groups "
        f"without signal are included; {options.dtype}"
    )
    made_by = f"peft {version('peft')}, traker {version('traker')}, torch {torch.__version__}"
    say(
        "LESS", made_by, spent, len(rows), note, rollouts=len(chosen), model_bytes=held,
        projection_seconds=round(projecting, 3),
    )  # fmt: skip


if __name__ == "__main__":
    main()
