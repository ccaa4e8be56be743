"""Part 2: how quick are gradient rows, against a training step's passes and their arithmetic?"""

from functools import partial
from typing import Any

import torch

from cuda_arithmetic import packed_tokens, row_operations, step_operations
from cuda_clock import Options, Record, Timing, is_memory, peak_bytes, release, timed
from cuda_policies import gathered, has_flex
from cuda_profile import profiled
from cuda_shapes import GROUP, LENGTHS, TINY_LENGTHS, Shape, make_group, make_model, shape_of
from learnalign.config import GradientConfig
from learnalign.errors import LearnAlignError
from learnalign.gradients.policy import PolicyGradients

Group = tuple[list[int], list[list[int]], list[float]]


def measure(record: Record, options: Options) -> None:
    """Measure all shapes with gathered attention, then the profile, then FlexAttention."""
    lengths = TINY_LENGTHS if options.tiny else LENGTHS
    share = options.left / (2 * len(options.shapes) * len(lengths) + 2)
    for name in options.shapes:
        shape = shape_of(name, tiny=options.tiny)
        record.attempt(f"{name}", partial(one_shape, record, options, shape, lengths, share))
    names = [options.shapes[0]] + ([options.shapes[-1]] if len(options.shapes) > 1 else [])
    for name in names[: 1 if options.left < 30 else 2]:
        shape = shape_of(name, tiny=options.tiny)
        record.attempt(f"profile {name}", partial(profile, record, options, shape, lengths[0]))
    if not has_flex():
        record.skip("FlexAttention", "this version has one way to attend")
        return
    if options.device != "cuda":
        record.skip("FlexAttention", "it has no backward pass on a CPU")
        return
    for name in options.shapes:
        shape = shape_of(name, tiny=options.tiny)
        record.attempt(f"FlexAttention, {name}", partial(flex, record, options, shape, lengths))


def policy_of(model: Any, **more: Any) -> PolicyGradients:
    """Make the gradients of a model; attention is gathered by default."""
    config = GradientConfig(**{**gathered(), **more})
    return PolicyGradients(model, config, temperature=1.0, seed=0)


def one_shape(
    record: Record,
    options: Options,
    shape: Shape,
    lengths: tuple[tuple[int, int], ...],
    share: float,
) -> None:
    """Measure rows and plain steps of one model."""
    model = make_model(shape, options.device)
    subject = policy_of(model)
    rows: dict[int, dict[str, Any]] = {}
    for prompt, response in lengths:
        group = make_group(shape, prompt, response)
        rows[response] = row_of(options, subject, group, share / 2)
    # Afterwards, because rows switch the weights' gradients off.
    del subject
    model.requires_grad_(True)
    for prompt, response in lengths:
        group = make_group(shape, prompt, response)
        step = step_of(options, model, group, share / 2)
        tell(record, shape, (prompt, response), rows[response], step)
        model.zero_grad(set_to_none=True)


def row_of(options: Options, subject: Any, group: Group, most: float) -> dict[str, Any]:
    """Time a group's row, and measure its peak memory."""
    release()
    try:
        timing = timed(options.device, lambda: subject([group]), most=most)
    except (torch.OutOfMemoryError, LearnAlignError):  # not even one response fits
        return {"timing": None}
    return {
        "timing": timing,
        "peak": peak_bytes(options.device),
        "budget": subject.budget,
        "checkpointed": subject.checkpointed,
        "shared": subject.shared,
    }


def step_of(options: Options, model: Any, group: Group, most: float) -> dict[str, Any]:
    """Time forward and backward of a training step, in the largest micro-batches that fit."""
    size = GROUP
    while size:
        release()
        try:
            run = partial(plain_step, model, group, options.device, size)
            timing = timed(options.device, run, most=most)
        except Exception as error:
            if not is_memory(error):
                raise
            size //= 2
            continue
        return {"timing": timing, "peak": peak_bytes(options.device), "micro_batch": size}
    return {"timing": None}


def plain_step(model: Any, group: Group, device: str, size: int) -> None:
    """Run forward and backward with the gradients of all weights, ``size`` rollouts at a time.

    All rollouts are equally long, so nothing is padded, and causal attention needs no mask.
    """
    model.zero_grad(set_to_none=True)
    prompt, responses, weights = group
    for start in range(0, len(responses), size):
        some = responses[start : start + size]
        ids = torch.tensor([[*prompt, *response] for response in some], device=device)
        scale = torch.tensor(weights[start : start + size], device=device)
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, len(prompt) - 1 :]).float()
        targets = ids[:, len(prompt) :]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none"
        )
        (loss.view(targets.shape) * scale[:, None]).sum().backward()


def tell(
    record: Record,
    shape: Shape,
    lengths: tuple[int, int],
    row: dict[str, Any],
    step: dict[str, Any],
) -> None:
    """Write what one shape and length took."""
    name = f"{shape.name}, {lengths[0]} + {GROUP} x {lengths[1]}"
    tokens = packed_tokens(*lengths)
    matrix = record.rates["matrix_tflops"] * 1e12
    values: dict[str, Any] = {"row": _plain(row), "step": _plain(step), "tokens": tokens}
    if row["timing"] is None:
        record.add(f"rows: {name}", f"{name}: out of memory", **values)
        return
    timing: Timing = row["timing"]
    used = row_operations(shape, *lengths) / timing.median
    limit = row_operations(shape, *lengths) / matrix
    values |= {
        "share_of_matrix_rate": used / matrix,
        "over_limit": timing.median / limit,
        "rate_tflops": used / 1e12,
    }
    text = f"{name}: {tokens / timing.median:,.0f} tokens/s, {used / matrix:.0%} of matrix rate"
    text += _gigabytes(row)
    if step["timing"] is not None:
        other: Timing = step["timing"]
        ratio = timing.median / other.median
        on_paper = row_operations(shape, *lengths) / step_operations(shape, *lengths)
        values |= {"over_step": ratio, "over_step_on_paper": on_paper}
        values |= {"step_rate_tflops": step_operations(shape, *lengths) / other.median / 1e12}
        text += f"; x{ratio:.2f} of a step (paper {on_paper:.2f}){_gigabytes(step)}"
    record.add(
        f"rows: {name}",
        text,
        value=tokens / timing.median,
        unit="tokens/s",
        better="higher",
        spread=tokens / timing.median * timing.spread / timing.median,
        **values,
    )


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    timing = found["timing"]
    return {**found, "timing": None if timing is None else timing.seconds}


def _gigabytes(found: dict[str, Any]) -> str:
    return f", {found['peak'] / 1e9:.1f} GB" if found.get("peak") else ""


def profile(record: Record, options: Options, shape: Shape, lengths: tuple[int, int]) -> None:
    """Say where the time of a row goes."""
    model = make_model(shape, options.device)
    subject = policy_of(model)
    group = make_group(shape, *lengths)
    for _ in range(2):
        subject([group])
    found = profiled(options.device, lambda: subject([group]))
    name = f"profile {shape.name}, {lengths[0]} + {GROUP} x {lengths[1]}"
    what = "launches" if options.device == "cuda" else "operators"
    idle = "" if found.idle is None else f", device idle {found.idle:.0%}"
    record.add(
        name,
        f"{name}: {found.launches:,} {what}, {found.waits} host waits{idle}",
        value=found.launches,
        unit=what,
        better="lower",
        waits=found.waits,
        idle=found.idle,
        wall_s=found.wall_s,
        kernels=dict(list(found.kernels.items())[:20]),
    )
    record.add(f"{name}: kernels", f"  {found.top()}")


def flex(
    record: Record, options: Options, shape: Shape, lengths: tuple[tuple[int, int], ...]
) -> None:
    """Time rows with FlexAttention; the warm-up compiles it."""
    subject = policy_of(make_model(shape, options.device), attention="flex")
    parts = []
    for prompt, response in lengths:
        group = make_group(shape, prompt, response)
        found = row_of(options, subject, group, options.left / 6)
        if found["timing"] is None:
            parts.append(f"8 x {response} out of memory")
            continue
        median = found["timing"].median
        speed = packed_tokens(prompt, response) / median
        matrix = record.rates["matrix_tflops"] * 1e12
        reached = row_operations(shape, prompt, response) / median / matrix
        parts.append(f"8 x {response} {speed:,.0f} tokens/s, {reached:.0%}{_gigabytes(found)}")
        record.add(
            f"FlexAttention: {shape.name}, {prompt} + {GROUP} x {response}",
            value=speed,
            unit="tokens/s",
            better="higher",
            share_of_matrix_rate=reached,
            **_plain(found),
        )
    record.add(f"FlexAttention, {shape.name}", f"flex, {shape.name}: {'; '.join(parts)}")
