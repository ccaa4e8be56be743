"""The plain training step on the same rollouts: the speed that gradient rows are held against."""

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from groups import Rollout, arguments, exact, load, resident, rollouts, say, small, timed

SIZE = 8


def batches(chosen: list[Rollout], size: int) -> Iterator[tuple[list[int], list[Rollout]]]:
    """Places and rollouts of similar length."""
    order = sorted(range(len(chosen)), key=lambda place: len(chosen[place].ids))
    for first in range(0, len(order), size):
        places = order[first : first + size]
        yield places, [chosen[place] for place in places]


def losses(model: Any, batch: list[Rollout]) -> torch.Tensor:
    """The weighted sum of minus the log-probabilities of a batch.

    The padding is on the right, where causal attention needs no mask; logits are made only for the
    tokens of the responses.
    """
    ids = torch.zeros(len(batch), max(len(rollout.ids) for rollout in batch), dtype=torch.long)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    for place, rollout in enumerate(batch):
        ids[place, : len(rollout.ids)] = torch.tensor(rollout.ids)
        wanted[place, rollout.start : len(rollout.ids)] = True
    weights = torch.tensor([rollout.weight for rollout in batch])
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1][wanted[:, 1:]])
    each = torch.nn.functional.cross_entropy(logits.float(), ids[wanted], reduction="none")
    return (each * weights.repeat_interleave(wanted.sum(1))).sum()


def step(model: Any, chosen: list[Rollout], dtype: torch.dtype) -> None:
    """Forward and backward of all weights, gradients added up over all micro-batches."""
    model.zero_grad(set_to_none=True)
    for _, batch in batches(chosen, SIZE):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            total = losses(model, batch)
        total.backward()


def main() -> None:
    """Time it, or check the gradient it adds up."""
    options = arguments()
    # As in training: weights in float32, under autocast where bfloat16 is asked for.
    model = load(options.model, "float32")
    held = resident()
    chosen = rollouts(options.groups)
    dtype = getattr(torch, options.dtype)
    if options.check:
        step(model, chosen, dtype)
        weights = list(model.parameters())
        found = -torch.cat([part.grad.flatten() for part in weights])
        truth = exact(model, chosen, weights).sum(0)
        print(f"relative error of the gradient {(found - truth).norm() / truth.norm():.2e}")
        return
    step(model, rollouts(small(options.groups[:1])), dtype)
    _, spent = timed(lambda: step(model, rollouts(options.groups), dtype))
    note = (
        f"one gradient of all weights, no rows; micro-batches of {SIZE} by length; groups without "
        f"signal are paid for; {options.dtype}"
    )
    version = f"torch {torch.__version__}, transformers {transformers.__version__}"
    say("plain step", version, spent, 0, note, rollouts=len(chosen), model_bytes=held)


if __name__ == "__main__":
    main()
