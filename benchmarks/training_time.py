"""How long a fine-tuning takes: measured tokens a second, and the arithmetic of the whole."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from fine_tuning import Example, FineTuning, collate, response_loss

#: Passes over the examples in the whole training.
EPOCHS = 3
_REPEATS = 3


def tokens_per_second(training: FineTuning) -> float:
    """Measure forward and backward on the first batch, the best of three; nothing is learned."""
    batch = training.batch(0)
    elapsed = []
    for _ in range(1 + _REPEATS):
        _synchronize(training.device)
        begin = time.monotonic()
        response_loss(training.model, collate(batch, training.device)).mean().backward()
        training.optimizer.zero_grad()
        _synchronize(training.device)
        elapsed.append(time.monotonic() - begin)
    return sum(example.num_tokens for example in batch) / min(elapsed[1:])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def whole(
    model: Any, examples: Sequence[Example], rate: float, tflops: float | None
) -> dict[str, Any]:
    """Calculate how long the whole training takes: three passes over all examples.

    FLOPs are 6 a parameter and token (2 forward, 4 backward), which is an upper limit: the frozen
    weights need no gradient of their own, so 4 would do. A card does not reach its matrix rate on
    a model this small; its seconds are a lower limit.

    Args:
        model: The model with its adapter.
        examples: All examples to learn.
        rate: Measured tokens a second of this machine.
        tflops: Matrix rate of a card, in TFLOP/s; None leaves it out.
    """
    tokens = EPOCHS * sum(example.num_tokens for example in examples)
    parameters = sum(p.numel() for p in model.parameters())
    flops = 6.0 * parameters * tokens
    found = {"parameters": parameters, "tokens": tokens, "flops": flops}
    found |= {"tokens_per_second": rate, "seconds_here": tokens / rate}
    if tflops is not None:
        found |= {"tflops": tflops, "seconds_at_tflops": flops / (tflops * 1e12)}
    return found


def described(estimate: dict[str, Any]) -> str:
    """Say how long the whole takes."""
    text = (
        f"the whole: {estimate['tokens']:.3g} tokens x 6 x {estimate['parameters']:.3g} parameters"
        f" = {estimate['flops']:.3g} FLOPs; {estimate['seconds_here'] / 60:.0f} minutes at "
        f"{estimate['tokens_per_second']:.0f} tokens a second here"
    )
    if "tflops" in estimate:
        text += f"; {estimate['seconds_at_tflops']:.0f} s at {estimate['tflops']:g} TFLOP/s"
    return text
