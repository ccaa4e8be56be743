"""Rows by dattri-llm: its hooks, both factors projected when captured, one block per batch."""

from importlib.metadata import version
from typing import Any

import torch
from dattri_llm import CaptureCallback, HookManager, HookManagerConfig
from groups import Rollout, arguments, compare, exact, load, resident, rollouts, say, small, timed
from plain_step import batches, losses

SIDE = 16


def make(model: Any, chosen: list[Rollout], size: int, side: int | None) -> torch.Tensor:
    """Compute the rows; without projection if ``side`` is None."""
    projected = {
        "style": "logra",
        "proj_dim": side,
        "proj_max_batch_size": 16,
        "proj_type": "rademacher",
    }
    caught = CaptureCallback()
    manager = HookManager(
        model.model,
        HookManagerConfig(
            linear_io=[r"(self_attn|mlp)\.\w+_proj$"],
            include_frozen=True,
            capture_style="materialized",
            projection_kwargs=side and {"__default__": projected},
        ),
        callbacks=[caught],
    )
    names = [
        name for name, layer in model.model.named_modules() if isinstance(layer, torch.nn.Linear)
    ]
    rows = [torch.empty(0)] * len(chosen)
    with manager.collect(deregister_on_exit=True):
        for indices, batch in batches(chosen, size):
            caught.record = None
            (-losses(model, batch)).backward()
            data = caught.record.gradient.data
            block = torch.cat([data[name].flatten(1) for name in names], dim=1)
            for index, row in zip(indices, block, strict=True):
                rows[index] = row
    return torch.stack(rows)


def main() -> None:
    """Measure the time, or check rows without and with projection against plain autograd."""
    options = arguments(batch={"type": int, "default": 8, "help": "rollouts in a batch"})
    model = load(options.model, options.dtype)
    chosen = rollouts(options.groups)
    if options.check:
        layers = [part for part in model.model.modules() if isinstance(part, torch.nn.Linear)]
        truth = exact(model, chosen, [layer.weight for layer in layers])
    # Frozen, as its documentation recommends for gradients that are only captured.
    model.requires_grad_(False)
    model.enable_input_require_grads()
    held = resident()
    if options.check:
        compare("without projection", make(model, chosen, options.batch, None), truth)
        compare("projected", make(model, chosen, options.batch, SIDE), truth)
        return
    make(model, rollouts(small(options.groups[:1])), options.batch, SIDE)
    rows, spent = timed(lambda: make(model, rollouts(options.groups), options.batch, SIDE))
    note = (
        f"one row of {rows.shape[1]:,} per rollout; two-sided Rademacher {SIDE} x {SIDE} per "
        f"layer, all linear layers except the output; batches of {options.batch}; weights frozen; "
        f"logits of responses only; groups without signal are included; {options.dtype}"
    )
    made_by = f"dattri-llm {version('dattri-llm')}, torch {torch.__version__}"
    say("dattri-llm", made_by, spent, len(rows), note, rollouts=len(chosen), model_bytes=held)


if __name__ == "__main__":
    main()
