"""Shared by the peers: command line, rollouts, exact gradients, and the printed line."""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM


@dataclass(frozen=True)
class Rollout:
    """A prompt with one response; ``weight`` multiplies the sum of its log-probabilities."""

    ids: list[int]
    start: int
    weight: float


def rollouts(groups: list[dict[str, Any]]) -> list[Rollout]:
    """Return every response of every group, including those with weight zero."""
    return [
        Rollout(group["prompt_ids"] + response, len(group["prompt_ids"]), weight)
        for group in groups
        for response, weight in zip(group["responses"], group["weights"], strict=True)
    ]


def small(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return two groups of two short responses with weights of both signs, for ``--check``."""
    return [
        {
            "prompt_ids": group["prompt_ids"][: 20 + 7 * index],
            "responses": [response[: 12 + 5 * index] for response in group["responses"][:2]],
            "weights": [0.05 + 0.02 * index, -0.03][: len(group["responses"])],
        }
        for index, group in enumerate(groups[:2])
    ]


def arguments(**extra: dict[str, Any]) -> argparse.Namespace:
    """Parse the options that all peers share, and a peer's own options."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--groups", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--check", action="store_true", help="compare with plain autograd")
    for name, settings in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    parsed.groups = json.loads(parsed.groups.read_text(encoding="utf-8"))
    if parsed.check:
        parsed.groups = small(parsed.groups)
    return parsed


def load(folder: str, dtype: str) -> Any:
    """Load the model without dropout; all weights require gradients."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()


def logp(model: Any, rollout: Rollout) -> torch.Tensor:
    """Return the sum of the response's log-probabilities, with logits only where needed."""
    ids = torch.tensor([rollout.ids])
    length = len(rollout.ids) - rollout.start
    logits = model(ids, use_cache=False, logits_to_keep=length + 1).logits[0, :-1]
    return -torch.nn.functional.cross_entropy(logits, ids[0, rollout.start :], reduction="sum")


def exact(model: Any, chosen: list[Rollout], weights: list[torch.Tensor]) -> torch.Tensor:
    """Compute the exact rows: one forward and backward pass per rollout over full logits."""
    rows = []
    for rollout in chosen:
        ids = torch.tensor([rollout.ids])
        logprobs = torch.log_softmax(model(ids).logits.float(), -1)[0, :-1]
        chosen_logprobs = logprobs.gather(1, ids[0, 1:, None])
        total = rollout.weight * chosen_logprobs[rollout.start - 1 :].sum()
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(total, weights)]))
    return torch.stack(rows)


def products(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return inner products in double precision, computed in chunks: the rows may be long."""
    chunks = zip(rows.split(1 << 22, dim=1), others.split(1 << 22, dim=1), strict=True)
    return sum(one.double() @ other.double().T for one, other in chunks)


def compare(name: str, rows: torch.Tensor, truth: torch.Tensor) -> None:
    """Print how rows differ from the exact ones: directly if possible, else by inner products."""
    true = products(truth, truth)
    if rows.shape == truth.shape:
        difference = rows - truth
        error = (products(difference, difference).diag() / true.diag()).sqrt()
        print(f"{name}: relative error of the rows, worst {error.max():.2e}")
        return
    gram = products(rows, rows)
    norm, length = gram.diag().sqrt(), true.diag().sqrt()
    print(f"{name}: norm over true norm {(norm / length).tolist()}")
    print(f"{name}: cosines\n{gram / norm / norm[:, None]}")
    print(f"true cosines\n{true / length / length[:, None]}")


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Spent:
    """Wall-clock seconds, and CPU seconds, which vary less on a busy machine in one thread."""

    wall: float
    processor: float


def timed(work: Callable[[], Any]) -> tuple[Any, Spent]:
    """Call ``work``; return its result and the time it took."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, Spent(time.perf_counter() - wall, time.process_time() - processor)


def say(peer: str, version: str, spent: Spent | None, rows: int, note: str, **more: Any) -> None:
    """Print the result as one line; ``spent`` is None if the peer fails."""
    line = {
        "peer": peer,
        "version": version,
        "seconds": spent and round(spent.wall, 3),
        "processor_seconds": spent and round(spent.processor, 3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rows": rows,
    }
    print(json.dumps({**line, **more, "note": note}))
