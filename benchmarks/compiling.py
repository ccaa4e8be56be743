"""Whether torch.compile speeds up the gradient stage: compiled layers against plain layers.

Batches differ in length, as in a run, so shapes are dynamic. The compile time is measured
separately. Both run alternately on the same groups.
"""

import statistics
import time

import torch

from gradients import make_groups
from harness import Figure, publish
from learnalign.config import GradientConfig, ModelConfig
from learnalign.gradients.policy import PolicyGradients
from learnalign.models.loading import load_model
from pool import MODEL

TURNS = 3
LENGTHS = ((60, 16), (80, 40), (100, 150), (90, 110))


def policy(*, compiled: bool) -> PolicyGradients:
    """Create the stage's engine with compiled or plain layers."""
    model = load_model(ModelConfig(path=str(MODEL), device="cpu"), dtype=torch.float32)
    if compiled:
        for layer in model.model.layers:
            layer.mlp.compile(dynamic=True)
            layer.input_layernorm.compile(dynamic=True)
            layer.post_attention_layernorm.compile(dynamic=True)
    return PolicyGradients(model, GradientConfig(), temperature=1.0, seed=0)


def main() -> None:
    """Measure both alternately."""
    begin = time.monotonic()
    jobs = [
        (g["prompt_ids"], g["responses"], g["weights"])
        for lengths in LENGTHS
        for g in make_groups(*lengths, 1)
    ]
    ways = {"plain": policy(compiled=False), "compiled": policy(compiled=True)}
    rows, times = [], {way: [] for way in ways}
    for turn in range(TURNS + 1):
        for way, run in ways.items():
            start = time.perf_counter()
            found = run(jobs)
            seconds = time.perf_counter() - start
            rows.append({"way": way, "turn": turn, "seconds": seconds, "norm": found[0].norm})
            if turn:
                times[way].append(seconds)
    ratios = [c / p for c, p in zip(times["compiled"], times["plain"], strict=True)]
    first = {row["way"]: row["seconds"] for row in rows if row["turn"] == 0}
    figures = {
        "compiled / plain": Figure(
            statistics.median(ratios), "x", "lower", (max(ratios) - min(ratios)) / 2, 1.0
        ),
        "first turn, compiling included, compiled / plain": Figure(
            first["compiled"] / first["plain"], "x", "lower"
        ),
    }
    publish("compiling", begin, figures, rows)


if __name__ == "__main__":
    main()
