"""Three ways to share a prompt between its responses in the forward and backward pass.

- packed, by sequence: one packed row, attention computed per sequence (LearnAlign's way);
- packed, dense mask: the same row, with a tree mask over all pairs of tokens;
- keys and values: the prompt first, with its keys and values repeated for a batch of responses.

All compute the same gradient; ratios are relative to the first, within one run.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from gradients import SHAPES, make_groups
from harness import Figure, publish
from learnalign.config import ModelConfig
from learnalign.gradients.backward import Backward
from learnalign.gradients.layout import lay_out
from learnalign.gradients.tasks import GradientTask, make_task
from learnalign.models.loading import load_model
from pool import MODEL

REPETITIONS = 5
Way = Callable[[Backward, GradientTask], None]


def by_sequence(backward: Backward, item: GradientTask) -> None:
    """Run LearnAlign's own way."""
    backward(lay_out([item], shared=True))


def dense_mask(backward: Backward, item: GradientTask) -> None:
    """Attend over the whole packed row, with a mask for other responses and later tokens."""
    pack = lay_out([item], shared=True)
    own = torch.zeros(pack.num_tokens, dtype=torch.long)
    start = len(item.prompt)
    for number, response in enumerate(item.responses, 1):
        own[start : start + len(response) - 1] = number
        start += len(response) - 1
    index = torch.arange(pack.num_tokens)
    mask = (index[:, None] >= index) & ((own == 0) | (own[:, None] == own))
    output = backward.head.base(
        input_ids=pack.input_ids,
        position_ids=pack.position_ids,
        attention_mask=mask[None, None],
        use_cache=False,
    )
    _back(backward, output, pack)


def keys_and_values(backward: Backward, item: GradientTask) -> None:
    """Run the prompt into a cache, then the padded responses; one backward pass for both."""
    base = backward.head.base
    count, width = len(item.responses), max(map(len, item.responses))
    cache = DynamicCache(config=backward.model.config)
    first = base(
        input_ids=torch.tensor([item.prompt]), past_key_values=cache, use_cache=True
    ).last_hidden_state
    cache.batch_repeat_interleave(count)
    tokens = torch.zeros(count, width - 1, dtype=torch.long)
    for row, response in enumerate(item.responses):
        tokens[row, : len(response) - 1] = torch.tensor(response[:-1])
    later = base(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state
    hidden = torch.cat([first[:, -1:].expand(count, -1, -1), later], 1)
    logits = backward.model.lm_head(hidden)
    targets = torch.zeros(count, width, dtype=torch.long)
    weights = torch.zeros(count, width)
    for row, (response, weight) in enumerate(zip(item.responses, item.weights, strict=True)):
        targets[row, : len(response)] = torch.tensor(response)
        weights[row, : len(response)] = weight
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), reduction="none"
    )
    (-losses * weights.flatten()).sum().backward()


def _back(backward: Backward, output: Any, pack: Any) -> None:
    gradient = backward.head.gradient(output, pack, temperature=1.0)
    hidden = output.last_hidden_state.flatten(0, 1)
    hidden.backward(torch.zeros_like(hidden).index_copy_(0, pack.predicting, gradient))


WAYS: dict[str, Way] = {
    "packed, by sequence": by_sequence,
    "packed, dense mask": dense_mask,
    "keys and values": keys_and_values,
}


def main() -> None:
    """Measure all ways alternately on all shapes."""
    begin = time.monotonic()
    model = load_model(ModelConfig(path=str(MODEL), device="cpu"), dtype=torch.float32)
    model.requires_grad_(False)
    backward = Backward(model, temperature=1.0)
    seen: list[torch.Tensor] = []
    model.model.layers[0].register_full_backward_hook(lambda _m, _i, out: seen.append(out[0]))
    shapes = {**SHAPES, "long prompt": (800, 30, 1)}
    rows, figures = [], {}
    for shape, (prompt, response, _) in shapes.items():
        (group,) = make_groups(prompt, response, 1)
        item = make_task(0, group["prompt_ids"], group["responses"], group["weights"])
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        sizes = []
        for repetition in range(REPETITIONS + 1):
            for way, run in WAYS.items():
                seen.clear()
                start = time.perf_counter()
                run(backward, item)
                if repetition:
                    times[way].append(time.perf_counter() - start)
                else:
                    # The gradient at the first layer, summed over tokens: the same for all ways.
                    sizes.append(sum(part.sum((0, 1)) for part in seen))
        assert all((size - sizes[0]).norm() < 1e-3 * sizes[0].norm() for size in sizes)
        base = times["packed, by sequence"]
        for way, taken in times.items():
            ratios = [a / b for a, b in zip(taken, base, strict=True)]
            median, spread = statistics.median(ratios), (max(ratios) - min(ratios)) / 2
            rows.append({"shape": shape, "way": way, "ratio": median, "spread": spread,
                         "seconds": statistics.median(taken)})  # fmt: skip
            if way != "packed, by sequence":
                figures[f"{shape}: {way} / by sequence"] = Figure(
                    median, "x", "higher", spread, goal=1.0
                )
    publish("sharing", begin, figures, rows)


if __name__ == "__main__":
    main()
