"""Rows by dattri: gradients of each rollout by ``vmap`` over ``grad``, then its projection."""

import resource
from importlib.metadata import version
from typing import Any

import torch
from dattri.func.projection import random_project
from dattri.task import AttributionTask
from groups import Rollout, arguments, compare, exact, load, resident, rollouts, say, small, timed
from less_rows import adapted

LIMIT = 20 << 30


def batch_of(chosen: list[Rollout]) -> tuple[torch.Tensor, ...]:
    """Return padded ids, response masks and weights for one call of ``vmap``."""
    width = max(len(rollout.ids) for rollout in chosen)
    ids = torch.zeros(len(chosen), width, dtype=torch.long)
    mask = torch.zeros(len(chosen), width)
    for index, rollout in enumerate(chosen):
        ids[index, : len(rollout.ids)] = torch.tensor(rollout.ids)
        mask[index, rollout.start : len(rollout.ids)] = 1
    return ids, mask, torch.tensor([rollout.weight for rollout in chosen])


def task_of(model: Any, first: int) -> AttributionTask:
    """Create a dattri task whose target is the weighted log-probability of one response.

    ``first``: no response starts before it, so logits before it are not computed.
    """

    def target(parameters: dict[str, torch.Tensor], data: tuple[torch.Tensor, ...]) -> torch.Tensor:
        ids, mask, weight = data
        settings = {"use_cache": False, "logits_to_keep": len(ids) - first + 1}
        logits = torch.func.functional_call(model, parameters, (ids[None],), settings).logits
        logprobs = torch.log_softmax(logits[0, :-1], -1).gather(1, ids[first:, None])[:, 0]
        return weight * (logprobs * mask[first:]).sum()

    return AttributionTask(target, model, model.state_dict())


def gradients(model: Any, chosen: list[Rollout]) -> torch.Tensor:
    """Compute rows before projection, for the weights that require a gradient."""
    task = task_of(model, min(rollout.start for rollout in chosen))
    each = task.get_grad_target_func(in_dims=(None, (0, 0, 0)))
    parameters, _ = task.get_param(0)
    return each(parameters.detach(), batch_of(chosen))


def make(
    model: Any, chosen: list[Rollout], size: int, every: int, dimensions: int
) -> tuple[torch.Tensor, float]:
    """Compute all projected rows, and the seconds spent on projection."""
    done, spent = [], 0.0
    for first in range(0, len(chosen), every):
        batch = chosen[first : first + every]
        rows = torch.cat(
            [gradients(model, batch[at : at + size]) for at in range(0, len(batch), size)]
        )

        def project(rows: torch.Tensor = rows) -> torch.Tensor:
            used = random_project(rows, len(rows), dimensions, 16, 0, "normal", device="cpu")
            return used(rows)

        projected, took = timed(project)
        done.append(projected)
        spent += took.wall
    return torch.cat(done), spent


def main() -> None:
    """Measure the time, or check rows before and after projection against plain autograd."""
    options = arguments(
        weights={"choices": ["lora", "all"], "default": "lora"},
        batch={"type": int, "default": 4, "help": "rollouts in a call of vmap"},
        dimensions={"type": int, "default": 8192},
        every={"type": int, "default": 64, "help": "rows in a call of the projection"},
    )
    model = load(options.model, options.dtype)
    weights = list(model.parameters())
    if options.weights == "lora":
        model, weights = adapted(model)
    else:
        options.every = options.batch
        # A matrix that is too large must raise an error, not kill other processes.
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    held = resident()
    chosen = rollouts(options.groups)
    made_by = f"dattri {version('dattri')}, torch {torch.__version__}"
    if options.check:
        truth = exact(model, chosen, weights)
        compare("before projection", gradients(model, chosen), truth)
        made, _ = make(model, chosen, options.batch, options.every, options.dimensions)
        compare("projected", made, truth)
        return
    try:
        gradients(model, rollouts(small(options.groups[:1])))
        (rows, projecting), spent = timed(
            lambda: make(
                model, rollouts(options.groups), options.batch, options.every, options.dimensions
            )
        )
    except (RuntimeError, MemoryError) as error:
        message = " ".join(str(error).split())[:200]
        note = f"{options.weights} weights: {type(error).__name__}: {message}"
        say("dattri", made_by, None, 0, note, rollouts=len(chosen), model_bytes=held)
        return
    count = sum(weight.numel() for weight in weights)
    note = (
        f"one row per rollout; vmap over {options.batch} rollouts; LoRA r 16 on all linear layers "
        f"({count:,} weights); normal projection to {options.dimensions:,} every {options.every} "
        "rows (its Rademacher is slower, its others need CUDA); groups without signal are "
        f"included; {options.dtype}"
    )
    say(
        "dattri", made_by, spent, len(rows), note, rollouts=len(chosen), model_bytes=held,
        projection_seconds=round(projecting, 3),
    )  # fmt: skip


if __name__ == "__main__":
    main()
