"""Part 4: what a native training step takes, and how long the device waits in it."""

import statistics
import time
from functools import partial
from typing import Any

from cuda_clock import Options, Record, peak_bytes, synchronize
from cuda_profile import profiled
from cuda_shapes import GROUP, make_model, shape_of
from cuda_tokens import engine, problems, random_prompts
from learnalign.config import GradientConfig, TrainingConfig, VerifierConfig
from learnalign.curriculum.order import Order
from learnalign.gradients.engine import Group
from learnalign.gradients.group_sketches import GroupSketcher, spread_layers
from learnalign.training.history import History
from learnalign.training.learner import Learner
from learnalign.training.native import train
from learnalign.verifying.verifier import open_verifier

#: Problems, prompt and response tokens of a step.
SIZE, TINY = (32, 100, 300), (4, 10, 12)
STEPS = 6
#: Pairs of steps with and without sketches.
PAIRS = 4


def measure(record: Record, options: Options) -> None:
    """Measure the 0.5B shape, or the first one that is asked for."""
    name = "0.5b" if "0.5b" in options.shapes else options.shapes[0]
    record.attempt("training step", partial(steps, record, options, name))


def steps(record: Record, options: Options, name: str) -> None:
    """Make some steps with the native trainer; the first one warms up."""
    import torch

    shape = shape_of(name, tiny=options.tiny)
    count, prompt, tokens = TINY if options.tiny else SIZE
    model = make_model(shape, options.device, torch.float32).requires_grad_(True)
    learner = Learner(
        model,
        TrainingConfig(learning_rate=1e-6, kl_beta=0.0),
        GradientConfig(),
        temperature=1.0,
        max_tokens=tokens,
        num_steps=STEPS,
        dtype=torch.bfloat16,
    )
    sampler = engine(model, group=GROUP, tokens=tokens)
    table = problems(random_prompts(count, prompt, shape.vocabulary))
    history, curriculum = History(), Order(count)

    def progress(_steps: int) -> None:
        row = history.steps[-1]
        record.add(f"step {row['step']}", **_times(row), num_signal=row["num_signal"])

    with open_verifier(VerifierConfig(kind="number")) as verifier:
        for step in range(STEPS):
            # One call a step, so that the time that is left can end it.
            train(
                learner, sampler, verifier, table, curriculum, history,
                num_steps=step + 1, per_step=count,
                seed=0, save=lambda: None, save_every=1 << 30, progress=progress,
            )  # fmt: skip
            taken = sum(_times(history.steps[-1]).values())
            if step >= 2 and options.left < 3 * taken + 5:
                break
    rows = [_times(row) for row in history.steps[1:]]
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    totals = [sum(row.values()) for row in rows]
    whole = statistics.median(totals)
    said = ", ".join(f"{key.removesuffix('_s')} {value:.2f} s" for key, value in medians.items())
    peak = peak_bytes(options.device)
    record.add(
        "training step",
        f"{name}, {count} x {GROUP} x {tokens}: a step {whole:.2f} s: {said}"
        + (f"; {peak / 1e9:.1f} GB" if peak else ""),
        value=whole,
        unit="s",
        better="lower",
        spread=(max(totals) - min(totals)) / 2,
        peak=peak,
        **medians,
    )
    for label, part in (("idle share", idle), ("gradient sketches", sketching)):
        record.attempt(label, partial(part, record, options, learner, sampler, table, tokens))


def _times(row: dict[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in ("sampling_s", "verifying_s", "learning_s")}


def idle(
    record: Record, options: Options, learner: Any, sampler: Any, table: Any, tokens: int
) -> None:
    """Measure the device's idle share of sampling (of some tokens) and of learning."""
    if options.device != "cuda":
        record.skip("idle share", "kernels are timed on CUDA only")
        return
    few = min(32, tokens)
    # The profiler's events are many: a few tokens stand for all.
    short = engine(learner.model, group=GROUP, tokens=few)
    short.sample(table)
    sampling = profiled(options.device, lambda: short.sample(table))
    prompts, groups = _groups(sampler, table)
    synchronize(options.device)
    learning = profiled(options.device, lambda: learner.step(prompts, groups))
    said = ", ".join(
        f"{_percent(found.idle)} of {name} ({found.launches:,} launches)"
        for name, found in (("sampling", sampling), ("learning", learning))
    )
    record.add(
        "idle share",
        f"device idle: {said}; {few} tokens were sampled",
        sampling=sampling.idle,
        learning=learning.idle,
        sampling_launches_per_token=sampling.launches / few,
        sampling_kernels=dict(list(sampling.kernels.items())[:10]),
        learning_kernels=dict(list(learning.kernels.items())[:10]),
    )


def sketching(
    record: Record, options: Options, learner: Any, sampler: Any, table: Any, tokens: int
) -> None:
    """Measure what the sketches of a curriculum add to the learning, alternately without them."""
    prompts, groups = _groups(sampler, table)
    sketcher = GroupSketcher(spread_layers(learner.model))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 + 2 * PAIRS):
        learner.sketcher = sketcher if number % 2 else None
        synchronize(options.device)
        begin = time.perf_counter()
        learner.step(prompts, groups)
        synchronize(options.device)
        if number >= 2:
            seconds[bool(number % 2)].append(time.perf_counter() - begin)
    learner.sketcher = None
    ratios = [a / b for a, b in zip(seconds[True], seconds[False], strict=True)]
    ratio = statistics.median(ratios)
    record.add(
        "gradient sketches",
        f"learning with sketches takes {ratio:.3f} of the time without",
        value=ratio,
        unit="ratio",
        better="lower",
        spread=(max(ratios) - min(ratios)) / 2,
    )


def _groups(sampler: Any, table: Any) -> tuple[list[list[int]], list[Group]]:
    """Sample a batch whose rewards alternate, so that every group has a signal."""
    groups: dict[str, Group] = {}
    for place, row in enumerate(sampler.sample(table).to_pylist()):
        group = groups.setdefault(row["problem_id"], Group())
        group.responses.append(row["token_ids"])
        group.rewards.append(float(place % 2))
    return table["prompt_ids"].to_pylist(), list(groups.values())


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
