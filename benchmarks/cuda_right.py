"""Part 1: is what CUDA computes right? Compared with float64, and with the same code on a CPU."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from cuda_clock import Options, Record
from cuda_flex import check_flex
from cuda_policies import Replaced, apart, policy, waits_of, whole
from cuda_smollm2 import rollouts, rows, step
from cuda_sums import Sums, load, sums
from learnalign.gradients.engine import Group

COMMON = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
BOTH = ["sliding_attention", "full_attention"]
#: Families, each with another way to attend or to lay its weights out.
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "GPT2": {},
    "Gemma2": {"head_dim": 8, "sliding_window": 4, "layer_types": BOTH},
    "Mistral": {"sliding_window": 4},
    "Phi3": {},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "GptOss": {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "head_dim": 8,
        "sliding_window": 4,
        "layer_types": BOTH,
    },
    "Bloom": {"n_head": 4, "n_layer": 2},
}
FEW = ("Llama", "GPT2", "Mixtral")
Jobs = list[tuple[list[int], list[list[int]], list[float]]]


def measure(record: Record, options: Options) -> None:
    """Run all checks; one that fails does not stop the others."""
    tiny = build("Llama")
    record.attempt("families", partial(families, record, options))
    record.attempt("LoRA rows", partial(lora, record, options, tiny))
    record.attempt("checkpointing", partial(checkpointing, record, options, tiny))
    record.attempt("repeated rows", partial(repeated, record, options, tiny))
    record.attempt("synchronisations", partial(waits, record, options, tiny))
    record.attempt("out of memory", partial(out_of_memory, record, options, tiny))
    found = load(options)
    if found is None:
        record.skip("SmolLM2", "models/SmolLM2-135M-Instruct is not there")
        record.attempt("GRPO step", partial(step, record, options, tiny, groups_of(jobs(8))))
        check_flex(record, options, build, jobs(), None)
        return
    model, tokenizer = found
    count, group = (10, 4) if options.tiny else (64, 8)
    some = sums(model, tokenizer, count=count, group=group)
    record.attempt("rows of SmolLM2", partial(rows, record, options, model, some))
    stepped = (tiny, groups_of(jobs(8))) if options.tiny else (model, some)
    record.attempt("GRPO step", partial(step, record, options, *stepped))
    record.attempt("rollouts", partial(rollouts, record, options, model, tokenizer, some))
    check_flex(record, options, build, jobs(), (model, some.jobs))


def build(name: str, **more: Any) -> Any:
    """Build a family's tiny model on the CPU, in float32, with weights that make a difference."""
    import transformers

    config = getattr(transformers, f"{name}Config")(**{**COMMON, **FAMILIES[name], **more})
    config._experts_implementation = "eager"  # the grouped product knows no float64
    for dropout in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.0)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4.0)
    return model.float().eval()


def jobs(count: int = 4, length: int = 12) -> Jobs:
    """Make problems of random tokens below 61, with weights of both signs."""
    rng = np.random.default_rng(7)
    found: Jobs = []
    for number in range(count):
        responses = [rng.integers(3, 61, length - k % 3).tolist() for k in range(4)]
        prompt = rng.integers(3, 61, 3 + number % 9).tolist()
        found.append((prompt, responses, [0.4, -0.3, 0.2, -0.1]))
    return found


def groups_of(some: Jobs) -> Sums:
    """Turn problems into groups, two of four responses right."""
    groups = [Group(responses, [1.0, 0.0, 1.0, 0.0]) for _, responses, _ in some]
    return Sums([prompt for prompt, _, _ in some], groups)


def families(record: Record, options: Options) -> None:
    """Compare exact gradients and sketched rows of each family with float64 on the CPU."""
    errors: dict[str, float] = {}
    for name in FEW if options.tiny else FAMILIES:
        if record.attempt(f"family {name}", partial(family, record, options, name)):
            errors[name] = record.last["value"]
    if errors:
        worst = max(errors, key=lambda name: errors[name])
        text = f"{len(errors)} families in float32: a gradient's error against float64 is at most "
        record.add("families", f"{text}{errors[worst]:.1e} ({worst})", errors=errors)


def family(record: Record, options: Options, name: str) -> None:
    model, some = build(name), jobs()
    on_device = policy(model, options.device)
    truth = policy(model, "cpu", torch.float64)
    worst = 0.0
    for prompt, responses, weights in some:
        ours = on_device.exact(prompt, responses, weights)
        exact = truth.exact(prompt, responses, weights)
        flat = [torch.cat([t.double().cpu().flatten() for t in d.values()]) for d in (ours, exact)]
        worst = max(worst, apart(*flat))
    ours, exact = whole(on_device(some)), whole(truth(some))
    sketches = max(apart(one, other) for one, other in zip(ours, exact, strict=True))
    record.add(
        f"family {name}: largest relative error of a gradient",
        value=worst,
        unit="",
        better="lower",
        sketch_error=sketches,
        finite=bool(np.isfinite(ours).all()),
        shared=on_device.shared,
    )


def lora(record: Record, options: Options, model: Any) -> None:
    """Compare rows of a new adapter with float64 on the CPU."""
    more = {"parameters": "lora", "lora_rank": 4}
    ours = whole(policy(model, options.device, **more)(jobs()))
    truth = whole(policy(model, "cpu", torch.float64, **more)(jobs()))
    _compared(record, "LoRA rows against float64 on the CPU", ours, truth)


def checkpointing(record: Record, options: Options, model: Any) -> None:
    """Compare rows with checkpointing with those without."""
    plain, kept = policy(model, options.device), policy(model, options.device)
    assert kept.backward.checkpoint(), "the model cannot checkpoint"
    _compared(
        record, "rows with checkpointing against without", whole(kept(jobs())), whole(plain(jobs()))
    )


def repeated(record: Record, options: Options, model: Any) -> None:
    """Compute the same rows twice in one batch, and in float32 and bfloat16."""
    for dtype in (torch.float32, torch.bfloat16):
        subject = policy(model, options.device, dtype)
        one, other = whole(subject(jobs(8, 24))), whole(subject(jobs(8, 24)))
        same = bool((one == other).all())
        name = str(dtype).removeprefix("torch.")
        record.add(
            f"two runs of the same rows, {name}",
            f"two runs of the same rows, {name}: "
            + ("bit-equal" if same else f"differ by {apart(other, one):.1e}"),
            value=apart(other, one),
            unit="",
            better="lower",
            equal=same,
        )


def _compared(record: Record, name: str, ours: np.ndarray, truth: np.ndarray) -> None:
    error = max(apart(one, other) for one, other in zip(ours, truth, strict=True))
    finite = bool(np.isfinite(ours).all())
    text = f"{name}: {error:.1e} of a row{'' if finite else ', NOT FINITE'}"
    record.add(name, text, value=error, unit="", better="lower", finite=finite)


def waits(record: Record, options: Options, model: Any) -> None:
    """Count the host's waits inside one pack's forward and backward pass, and in a whole call."""
    name = "host waits in a pack's forward and backward"
    if options.device != "cuda":
        record.skip(name, "counted on CUDA only")
        return
    subject = policy(model, "cuda", torch.bfloat16)
    subject(jobs())
    everywhere, inside = waits_of(subject, jobs())
    places = Counter(inside).most_common(3)
    record.add(
        name,
        f"{name}: {len(inside)} ({len(everywhere)} in the whole call) "
        + ", ".join(f"{place} x{times}" for place, times in places),
        value=len(inside),
        unit="waits",
        better="lower",
        inside=Counter(inside),
        everywhere=Counter(everywhere),
    )


@contextmanager
def _little_memory(options: Options, subject: Any) -> Iterator[Callable[[], int]]:
    """Let memory run out: a small share of the card, or one simulated failure on a CPU.

    Yields:
        A function that returns how often it ran out.
    """
    failures = 0
    backward, shrink = subject.backward, subject._shrink

    def counted(*arguments: Any) -> None:
        nonlocal failures
        failures += 1
        shrink(*arguments)

    def failing(pack: Any) -> None:
        if failures == 0:
            raise torch.OutOfMemoryError("simulated")
        backward(pack)

    subject._shrink = counted
    if options.device == "cuda":
        torch.cuda.empty_cache()
        held = torch.cuda.memory_reserved() + (96 << 20)
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(held / total)
    else:
        subject.backward = Replaced(backward, failing)
    try:
        yield lambda: failures
    finally:
        subject.backward, subject._shrink = backward, shrink
        if options.device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)


def out_of_memory(record: Record, options: Options, model: Any) -> None:
    """Let memory run out in a batch; the rows are those of small batches."""
    # 96 MB on top of what is held: 64 problems of 4 x 400 tokens take more in one batch.
    many = jobs(16, 24) if options.device == "cpu" else jobs(64, 400)
    truth = whole(policy(model, options.device, token_budget=2048)(many))
    subject = policy(model, options.device, token_budget=1 << 20)
    with _little_memory(options, subject) as failures:
        ours = whole(subject(many))
        count = failures()
    error = apart(ours, truth)
    how = "real" if options.device == "cuda" else "simulated"
    record.add(
        "out of memory",
        f"out of memory ({how}) {count} times: budget {1 << 20} became {subject.budget}, "
        f"{len(ours)} rows, {error:.1e} apart",
        value=error,
        unit="",
        better="lower",
        failures=count,
        budget=subject.budget,
        checkpointed=subject.checkpointed,
    )
