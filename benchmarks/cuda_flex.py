"""Is FlexAttention right on CUDA? Its rows against those of gathered attention and of float64.

It comes last, because each shape of heads is compiled first, for seconds to a minute.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from cuda_clock import Options, Record
from cuda_policies import apart, has_flex, policy, waits_of, whole

#: Families that attend plainly, with a window and a soft cap, and with sinks.
FAMILIES = ("Llama", "Gemma2", "GptOss")
#: FlexAttention takes heads of 16 values and more.
WIDER = {"hidden_size": 64, "head_dim": 16}


def check_flex(
    record: Record,
    options: Options,
    build: Callable[..., Any],
    jobs: Any,
    real: tuple[Any, Any] | None,
) -> None:
    """Run the checks as far as the time goes.

    Args:
        record: Of the part.
        options: Of the part.
        build: Builds a family's tiny model on the CPU.
        jobs: Problems for it.
        real: SmolLM2 and problems for it, if it is there.
    """
    if not has_flex():
        record.skip("FlexAttention", "this version has one way to attend")
        return
    if options.device != "cuda":
        record.skip("FlexAttention", "it has no backward pass on a CPU")
        return
    if real is not None:
        record.attempt("FlexAttention, SmolLM2", partial(smollm2, record, *real))
    for name in FAMILIES:
        if options.left < 20:
            record.skip(f"FlexAttention, {name}", "no time left")
            continue
        model = build(name, **WIDER)
        record.attempt(f"FlexAttention, {name}", partial(family, record, name, model, jobs))


def smollm2(record: Record, model: Any, jobs: Any) -> None:
    """Compare rows in bfloat16 with gathered attention; look whether they repeat."""
    truth = whole(policy(model, "cuda", torch.bfloat16, sketch_size=8192)(jobs))
    subject = policy(model, "cuda", torch.bfloat16, sketch_size=8192, attention="flex")
    ours, again = whole(subject(jobs)), whole(subject(jobs))
    _, inside = waits_of(subject, jobs)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(truth, axis=1)
    cosine = float((np.vecdot(ours, truth) / norms).min())
    same = bool((ours == again).all())
    record.add(
        "FlexAttention, SmolLM2: least cosine with gathered attention",
        f"FlexAttention, SmolLM2 in bfloat16: cosine with gathered at least {cosine:.4f}, "
        f"{'repeats bit for bit' if same else 'does not repeat'}, {len(inside)} waits",
        value=cosine,
        unit="",
        better="higher",
        equal=same,
        waits=len(inside),
    )


def family(record: Record, name: str, model: Any, jobs: Any) -> None:
    """Compare a tiny model's rows with float64 on the CPU."""
    truth = whole(policy(model, "cpu", torch.float64)(jobs))
    ours = whole(policy(model, "cuda", attention="flex")(jobs))
    error = max(apart(one, other) for one, other in zip(ours, truth, strict=True))
    record.add(
        f"FlexAttention, {name}: largest relative error of a row",
        f"FlexAttention, {name}: {error:.1e} of a row against float64",
        value=error,
        unit="",
        better="lower",
    )
