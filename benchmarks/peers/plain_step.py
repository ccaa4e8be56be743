"""A plain training step on the same rollouts: the baseline for the speed of gradient rows."""

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from groups import Rollout, arguments, exact, load, resident, rollouts, say, small, timed

SIZE = 8


def batches(chosen: list[Rollout], size: int) -> Iterator[tuple[list[int], list[Rollout]]]:
    """Yield batches of rollouts of similar length, with their indices."""
    order = sorted(range(len(chosen)), key=lambda index: len(chosen[index].ids))
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        yield indices, [chosen[index] for index in indices]


def losses(model: Any, batch: list[Rollout]) -> torch.Tensor:
    """Return the weighted sum of the negative log-probabilities of a batch.

    The padding is on the right, where causal attention needs no mask; logits are computed only for
    the tokens of the responses.
    """
    ids = torch.zeros(len(batch), max(len(rollout.ids) for rollout in batch), dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for index, rollout in enumerate(batch):
        ids[index, : len(rollout.ids)] = torch.tensor(rollout.ids)
        mask[index, rollout.start : len(rollout.ids)] = True
    weights = torch.tensor([rollout.weight for rollout in batch])
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1][mask[:, 1:]])
    each = torch.nn.functional.cross_entropy(logits.float(), ids[mask], reduction="none")
    return (each * weights.repeat_interleave(mask.sum(1))).sum()


def step(model: Any, chosen: list[Rollout], dtype: torch.dtype) -> None:
    """Run forward and backward passes for all weights, accumulating over micro-batches."""
    model.zero_grad(set_to_none=True)
    for _, batch in batches(chosen, SIZE):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            total = losses(model, batch)
        total.backward()


def main() -> None:
    """Measure the time, or check the accumulated gradient."""
    options = arguments()
    # As in training: weights in float32, with autocast for bfloat16.
    model = load(options.model, "float32")
    held = resident()
    chosen = rollouts(options.groups)
    dtype = getattr(torch, options.dtype)
    if options.check:
        step(model, chosen, dtype)
        weights = list(model.parameters())
        gradient = -torch.cat([part.grad.flatten() for part in weights])
        truth = exact(model, chosen, weights).sum(0)
        print(f"relative error of the gradient {(gradient - truth).norm() / truth.norm():.2e}")
        return
    step(model, rollouts(small(options.groups[:1])), dtype)
    _, spent = timed(lambda: step(model, rollouts(options.groups), dtype))
    note = (
        f"one gradient of all weights, no rows; micro-batches of {SIZE} by length; groups without "
        f"signal are included; {options.dtype}"
    )
    version = f"torch {torch.__version__}, transformers {transformers.__version__}"
    say("plain step", version, spent, 0, note, rollouts=len(chosen), model_bytes=held)


if __name__ == "__main__":
    main()
