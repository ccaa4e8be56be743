"""Part 3: how quick is the decode loop, against transformers' ``generate``?"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import torch

from cuda_clock import Options, Record, peak_bytes, release, timed
from cuda_shapes import GROUP, Shape, make_model, shape_of
from cuda_tokens import engine, problems, random_prompts
from learnalign.config import RolloutConfig

#: Problems of eight rollouts, prompt and response tokens.
SIZE, TINY = (32, 100, 300), (2, 10, 12)
#: The models that are measured; larger ones are sampled with vLLM.
NAMES = ("0.5b", "1.5b")


def measure(record: Record, options: Options) -> None:
    """Measure each model, the decode loop first."""
    names = [name for name in options.shapes if name in NAMES]
    if not names:
        record.skip("rollouts", f"none of the shapes is {' or '.join(NAMES)}")
    for place, name in enumerate(names):
        shape = shape_of(name, tiny=options.tiny)
        most = options.left / (len(names) - place)
        record.attempt(name, partial(one_shape, record, options, shape, most))


def one_shape(record: Record, options: Options, shape: Shape, most: float) -> None:
    """Time the contenders on one model."""
    count, prompt, tokens = TINY if options.tiny else SIZE
    model = make_model(shape, options.device)
    prompts = random_prompts(count, prompt, shape.vocabulary)
    runs = contenders(model, prompts, tokens)
    rows = count * GROUP
    speeds: dict[str, float] = {}
    for name, run in runs.items():
        release()
        one = partial(contender, record, options, f"{shape.name}, {name}", rows, tokens)
        if record.attempt(f"{shape.name}, {name}", partial(one, run, 0.8 * most / len(runs))):
            speeds[name] = record.last["value"]
    said = ", ".join(f"{name} {speed:,.0f}" for name, speed in speeds.items())
    text = f"{shape.name}, {rows} x {tokens}, tokens/s: {said}"
    if "generate" in speeds and len(speeds) > 1:
        best = max(speed for name, speed in speeds.items() if name != "generate")
        text += f"; x{best / speeds['generate']:.2f} of generate"
    record.add(f"{shape.name}: rollouts", text, **speeds)


def contenders(
    model: Any, prompts: list[list[int]], tokens: int
) -> dict[str, Callable[[bool], Any]]:
    """Return what samples; each is called with whether it is only to warm up."""
    device = next(model.parameters()).device
    table = problems(prompts)
    runs: dict[str, Callable[[bool], Any]] = {}
    for name in ("ours", "graphs"):
        has_graphs = "cuda_graphs" in RolloutConfig.model_fields and device.type == "cuda"
        if name == "graphs" and not has_graphs:
            continue
        runs[name] = partial(ours, model, table, tokens, {}, name == "graphs")
    runs["generate"] = partial(generate, model, torch.tensor(prompts, device=device), tokens)
    return runs


def contender(
    record: Record,
    options: Options,
    name: str,
    rows: int,
    tokens: int,
    run: Callable[[bool], Any],
    most: float,
) -> None:
    """Time one contender and write its figure."""
    timing = timed(options.device, lambda: run(False), warm=lambda: run(True), most=most)
    speed = rows * tokens / timing.median
    record.add(
        f"rollouts: {name}",
        value=speed,
        unit="tokens/s",
        better="higher",
        spread=speed * timing.spread / timing.median,
        seconds=timing.seconds,
        peak=peak_bytes(options.device),
    )


def ours(
    model: Any, table: pa.Table, tokens: int, kept: dict[str, Any], graphs: bool, warm: bool
) -> None:
    """Sample with the embedded engine, which keeps its graphs from call to call."""
    if warm and not graphs:
        engine(model, group=GROUP, tokens=min(tokens, 16), cuda_graphs=False).sample(table)
        return
    # A graph's shapes depend on the length: its warm-up is a whole run.
    if not kept:
        kept["engine"] = engine(model, group=GROUP, tokens=tokens, cuda_graphs=graphs)
    found = kept["engine"].sample(table)
    assert found.num_rows == table.num_rows * GROUP


def generate(model: Any, prompts: torch.Tensor, tokens: int, warm: bool) -> None:
    """Sample with transformers' own loop."""
    count = min(tokens, 16) if warm else tokens
    with torch.inference_mode():
        found = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            num_return_sequences=GROUP,
            max_new_tokens=count,
            min_new_tokens=count,
            top_k=0,
            pad_token_id=0,
        )
    assert found.shape == (len(prompts) * GROUP, prompts.shape[1] + count)
