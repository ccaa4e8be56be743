"""The dry run: the resolved options, and an estimate of the work and its time."""

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from learnalign.config import Config
from learnalign.pipeline.fingerprints import reference_model
from learnalign.pipeline.problems import sampled_problems
from learnalign.pipeline.reuse import reused_groups
from learnalign.selecting.methods.registry import method_named
from learnalign.selecting.order import budget_count
from learnalign.tables import PROBLEMS
from learnalign.terminal.durations import duration
from learnalign.workflows.evaluate import parts
from learnalign.workflows.subsets import chosen_ids
from learnalign.workflows.training_length import step_limit
from learnalign.workflows.training_problems import training_source
from learnalign.workflows.warmup import warmup_config

if TYPE_CHECKING:
    from learnalign.problems.prompts import Prompter

#: Share of the device's matrix multiplication speed that a stage reaches; less for decoding, which
#: reads all weights for each token. Both were measured on a CPU with a 135M-parameter model.
_DECODING, _LEARNING = 0.3, 0.6
_SIDE = 1024


def dry_run(config: Config, *, as_json: bool = False) -> str:
    """Read the pool, build a sample of prompts, and estimate the work of a run.

    Raises:
        LearnAlignError: for any error that would stop the run before its first rollout.
    """
    return _formatted(config, estimate(config), as_json)


def dry_run_profile(config: Config, *, as_json: bool = False) -> str:
    """Count the problems and rollouts of a profile, and estimate its work.

    Raises:
        LearnAlignError: for any error that would stop the profile before its first rollout.
    """
    return _formatted(config, estimate_rollouts(config), as_json)


def dry_run_training(config: Config, *, as_json: bool = False) -> str:
    """Count the problems and steps of a training, and estimate its work.

    Raises:
        LearnAlignError: for any error that would stop the training before its first step.
    """
    return _formatted(config, estimate_training(config), as_json)


def dry_run_evaluation(
    config: Config, benchmarks: list[str], *, samples: int, greedy: bool, as_json: bool = False
) -> str:
    """Count the problems and rollouts of an evaluation, and estimate its work.

    Raises:
        LearnAlignError: for any error that would stop the evaluation before its first rollout.
    """
    wanted = parts(config, benchmarks, samples=samples, greedy=greedy)
    work: dict[str, Any] = {}
    for part in wanted:
        work.setdefault(part.benchmark, {})[part.mode] = estimate_rollouts(part.config)
    return _formatted(config, work, as_json)


def _formatted(config: Config, work: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps({"config": config.model_dump(mode="json"), "work": work})
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text + "\nestimated work:\n" + "\n".join(_lines(work, "  "))


def _lines(work: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in work.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
            continue
        if "_minutes_" in name:
            name, value = name.replace("_minutes_", "_time_"), duration(60.0 * value)
        lines.append(f"{indent}{name.replace('_', ' ')}: {value}")
    return lines


def estimate(config: Config) -> dict[str, Any]:
    """Count the problems of a selection; tokens and minutes are upper bounds.

    The warm-up's work is listed separately, under ``warmup``.
    """
    requires = method_named(config.selection.method).requires
    warmup = config.selection.warmup
    work: dict[str, Any] = {}
    if warmup is not None:
        work["warmup"] = estimate_training(warmup_config(config, warmup))
    work |= estimate_rollouts(config)
    count = work["problems"]
    work["chosen"] = budget_count(config.selection.budget, count) if count else 0
    if "gradients" in requires:
        rollouts = work["rollouts"] + work.get("reused_rollouts", 0)
        tokens = rollouts * config.rollouts.max_tokens + count * work["mean_prompt_tokens"]
        speed = _speed(config, "gradients") * _LEARNING
        if config.gradients.kl_beta > 0.0:  # one forward pass
            if warmup is None:
                reference_model(config)  # raises if it would be the policy itself
            work["reference_minutes_at_most"] = _minutes(2.0 * work["parameters"] * tokens, speed)
        work["gradient_minutes_at_most"] = _minutes(6.0 * work["parameters"] * tokens, speed)
        work["gradient_megabytes"] = round(count * config.gradients.sketch_size * 2 / 1e6, 1)
    return work


def estimate_rollouts(config: Config) -> dict[str, Any]:
    """Count the problems and rollouts of sampling; tokens and minutes are upper bounds."""
    from learnalign.models.loading import load_tokenizer, num_parameters
    from learnalign.problems.pool import read_pool
    from learnalign.problems.prompts import Prompter, PromptError

    prompter = Prompter(load_tokenizer(config.model), config.prompt)
    pool = read_pool(config.data)
    found = len(pool.problems)
    pool.problems = sampled_problems(pool.problems, config)
    count, group = len(pool.problems), config.rollouts.num_rollouts
    sample = pool.problems[:: max(1, count // 100)]
    lengths = []
    for problem in sample:
        with suppress(PromptError):  # a run excludes it
            lengths.append(len(prompter(problem["messages"], problem["row"])[1]))
    prompt_tokens = round(sum(lengths) / max(1, len(lengths)))
    rollouts = count * group
    reused = 0
    if config.rollouts.reuse is not None:
        batches = _with_prompts(pool.problems, prompter).to_batches()
        known = set(reused_groups(config, batches)["problem_id"].to_pylist())
        reused = group * len(known & {problem["problem_id"] for problem in pool.problems})
        rollouts -= reused
    response_tokens = rollouts * config.rollouts.max_tokens
    work: dict[str, Any] = {} if count == found else {"problems_in_the_pool": found}
    work |= {
        "problems": count,
        "left_out": len(pool.excluded),
        "mean_prompt_tokens": prompt_tokens,
        "parameters": num_parameters(config.model),
        "rollouts": rollouts,
        "response_tokens_at_most": response_tokens,
    }
    if reused:
        work["reused_rollouts"] = reused
    if config.rollouts.engine == "transformers":
        operations = 2.0 * work["parameters"] * (response_tokens + count * prompt_tokens)
        speed = _speed(config, "rollouts") * _DECODING
        work["rollout_minutes_at_most"] = _minutes(operations, speed)
    elif config.rollouts.engine == "recorded":
        work |= _recorded(config, _with_prompts(pool.problems, prompter), prompter)
    elif config.rollouts.engine == "server":
        from learnalign.rollouts.server import served_model

        work["served_model"] = served_model(config.server)
    return work


def _with_prompts(problems: list[dict[str, Any]], prompter: "Prompter") -> pa.Table:
    """Build the PROBLEMS table, without problems whose prompt the template refuses."""
    from learnalign.problems.prompts import PromptError

    rows = []
    for problem in problems:
        with suppress(PromptError):
            prompt, ids = prompter(problem["messages"], problem["row"])
            rows.append(problem | {"prompt": prompt, "prompt_ids": ids})
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


def _recorded(config: Config, pool: pa.Table, prompter: "Prompter") -> dict[str, Any]:
    """Count the recorded rollouts and their problems, and say what they serve and what is lost."""
    from learnalign.pipeline.imported import served_methods
    from learnalign.rollouts.imports.fitting import fitted
    from learnalign.rollouts.imports.joining import Join
    from learnalign.rollouts.imports.reading import read_records
    from learnalign.rollouts.imports.told import warnings

    files, read = read_records(
        config.rollouts.recorded,
        format_name=config.rollouts.recorded_format,
        reward_column=config.rollouts.recorded_reward,
        scale=config.rollouts.recorded_scale,
    )
    groups, counts = Join([pool], prompter.tokenizer).groups(files)
    groups, misfits = fitted(groups, config.rollouts, model=config.model.path)
    counts += misfits
    used = [record for group in groups.values() for record in group]
    told = {f"recorded_{name}": n for name, n in (read + counts).items()}
    told["recorded"] = told.pop("recorded_recorded")
    has_counts = any(record.is_counted for record in used)
    return {
        "recorded_rollouts": len(used),
        "problems_with_recorded_rollouts": len(groups),
        "recorded_formats": ", ".join(sorted({record.format for record in used})),
        "recorded_rollouts_with_exact_tokens": sum(r.token_ids is not None for r in used),
        "recorded_rollouts_serve": "methods without gradients: "
        + ", ".join(served_methods(tokens=False))
        if has_counts
        else "all methods",
        "recorded_rollouts_warn": "; ".join(warnings(told)) or "nothing",
    }


def estimate_training(config: Config) -> dict[str, Any]:
    """Count the steps and rollouts of a training; tokens and minutes are upper bounds."""
    from learnalign.models.loading import num_parameters
    from learnalign.problems.pool import read_pool
    from learnalign.training.order import step_problems

    training, group = config.training, config.rollouts.num_rollouts
    source = training_source(config)
    if source is None:
        count = len(sampled_problems(read_pool(config.data).problems, config))
    else:
        count = len(chosen_ids(source, training.subset, seed=config.run.seed))
    count = min(count, training.num_problems or count)
    order = step_problems(
        count, training.problems_per_step, epochs=training.epochs, steps=step_limit(config, count)
    )
    rollouts = order.size * group
    tokens = rollouts * config.rollouts.max_tokens
    weights = num_parameters(config.model)
    speed = _speed(config, "training")
    passes = 6.0 if training.kl_beta == 0.0 else 8.0  # the reference adds a forward pass
    return {
        "problems": count,
        "steps": len(order),
        "problems_a_step": order.shape[1],
        "parameters": weights,
        "rollouts": rollouts,
        "response_tokens_at_most": tokens,
        "sampling_minutes_at_most": _minutes(2.0 * weights * tokens, speed * _DECODING),
        "learning_minutes_at_most": _minutes(passes * weights * tokens, speed * _LEARNING),
    }


def _minutes(operations: float, speed: float) -> float:
    return round(operations / speed / 60.0, 4)


def _speed(config: Config, purpose: str) -> float:
    """Measure this device's matrix multiplication speed, in operations per second."""
    import torch

    from learnalign.models.loading import resolve_device, resolve_dtype

    device = resolve_device(config.model.device)
    dtype = resolve_dtype(getattr(config, purpose).dtype, device)
    matrix = torch.ones(_SIDE, _SIDE, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(4):
        begin = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = min(best, time.perf_counter() - begin)
    return 2.0 * _SIDE**3 / best
