"""Flags shared by the commands; each is one option of the configuration, with its help text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
import yaml

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.storage.paths import as_path

Command = TypeVar("Command", bound=Callable[..., Any])


class _PathOrUrl(click.Path):
    """A local path or an object store URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return as_path(value)


PATH_OR_URL = _PathOrUrl()

DATA = (
    "data.split",
    "data.prompt_column",
    "data.answer_column",
    "data.answer_form",
    "data.last_assistant",
    "data.tool_rows",
    "data.id_column",
    "data.source_column",
    "data.difficulty_column",
    "data.limit",
    "data.keep_near_duplicates",
    "data.decontaminate",
)
PROMPT = ("prompt.template", "prompt.system", "prompt.instruction", "prompt.assistant_prefix")
MODEL = ("model.revision", "model.adapter", "model.device")
#: How a training samples, with its own copy of the model.
SAMPLING = (
    "rollouts.num_rollouts",
    "rollouts.temperature",
    "rollouts.top_p",
    "rollouts.max_tokens",
    "rollouts.stop",
    "verifier.kind",
    "verifier.sandbox",
)
ROLLOUTS = (
    *SAMPLING,
    "rollouts.spend",
    "rollouts.recorded",
    "rollouts.reuse",
    "rollouts.engine",
    "server.url",
)
#: What a training ignores: options of where a selection's rollouts come from. The reward column may
#: be that of its history.
_SELECTION_ONLY = re.compile(
    r"(rollouts\.(engine|spend|error|recorded(_format)?|reuse\w*)|server\.\w+|vllm\.\w+)="
)
GRADIENTS = (
    "gradients.loss",
    "gradients.parameters",
    "gradients.sketch_size",
    "gradients.kl_beta",
    "gradients.reference",
)
OBJECTIVE = ("gradients.loss", "gradients.scale_rewards")
TRAINING = (
    "training.trainer",
    "training.problems_per_step",
    "training.epochs",
    "training.steps",
    "training.max_rollouts",
    "training.curriculum",
    "training.known_success",
    "training.parameters",
    "training.learning_rate",
    "training.kl_beta",
    "training.save_every",
)
SELECTION = (
    "selection.budget",
    "selection.method",
    "selection.learnability",
    "selection.target",
    "selection.per_source",
    "selection.history",
    "selection.drop",
    "selection.num_bootstrap",
    "selection.warmup",
)
CLUSTER = (
    "cluster.on",
    "cluster.workers",
    "cluster.gpus_per_worker",
    "cluster.cpus_per_worker",
)
RUN = ("run.out", "run.seed", "run.shard_size")

_NAMES = {"rollouts.spend": "rollouts", "verifier.kind": "verifier", "stages.count": "stages"}
_NAMES |= {"server.url": "server-url", "data.sample": "problems"}
_SHORT = {"run.out": "-o"}


def options(*keys: str) -> Callable[[Command], Command]:
    """Add the flags of configuration keys to a command; a flag that is not given is None or ()."""

    def decorate(command: Command) -> Command:
        for key in reversed(keys):
            command = _option(key)(command)
        return command

    return decorate


def config_options(command: Command) -> Command:
    """Add ``--config`` and ``--set``."""
    command = click.option(
        "--set", "sets", multiple=True, metavar="A.B=C", help="Set any option by its dotted name."
    )(command)
    return click.option(
        "--config",
        type=PATH_OR_URL,
        help="YAML or TOML file of options; flags override it. A run's config.yaml replays the "
        "run.",
    )(command)


def config_from(
    config: Path | None,
    sets: tuple[str, ...],
    flags: dict[str, Any],
    base: dict[str, Any] | None = None,
    **fixed: Any,
) -> Config:
    """Build the configuration from ``--config``, ``--set`` and a command's flags.

    Args:
        config: File of options.
        sets: ``A.B=C`` pairs.
        flags: Values by parameter name, as click passes them.
        base: Options that all others override.
        fixed: Values by key, with dots written as two underscores (``model__path``).
    """
    from learnalign.config.load import load_config

    overrides = {key.replace("__", "."): value for key, value in flags.items()}
    overrides |= {key.replace("__", "."): value for key, value in fixed.items()}
    if isinstance(overrides.get("selection.budget"), str):
        overrides["selection.budget"] = yaml.safe_load(overrides["selection.budget"])
    if overrides.get("rollouts.recorded"):
        overrides["rollouts.engine"] = "recorded"
    elif overrides.get("server.url") and not overrides.get("rollouts.engine"):
        overrides["rollouts.engine"] = "server"
    for key in [key for key in overrides if overrides[key] is False]:
        overrides.pop(key)
    return load_config(config, sets=sets, overrides=overrides, base=base)


def run_config(
    run: Path, sets: tuple[str, ...] = (), flags: dict[str, Any] | None = None
) -> Config:
    """Load a run folder's configuration and apply changes to it."""
    from learnalign.storage.files import is_file

    file = run / "config.yaml"
    if not is_file(file):
        raise LearnAlignError(
            f"{run} is not a run folder: it has no config.yaml",
            expected="the --out folder of a learnalign select",
            do="check the path",
        )
    return config_from(file, sets, flags or {}, run__out=str(run))


def training_config(
    model: str | None,
    selection: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    flags: dict[str, Any],
    *,
    out: str = "runs/train",
) -> Config:
    """Build a training's configuration, based on that of the selection it trains on, if any.

    Only the prompt, rollouts, verifier and gradients sections are inherited.

    Raises:
        LearnAlignError: for a ``--set`` of an option that only selections use. A file that a
            selection shares may have them.
    """
    from learnalign.storage.files import is_file

    for pair in sets:
        if _SELECTION_ONLY.match(pair.strip()):
            raise LearnAlignError(
                f"got --set {pair} for a training, which would ignore it",
                expected="options of a training: it samples with the model it trains",
                do="leave it out; with --trainer trl, set training.sampling and training.trl",
            )
    base: dict[str, Any] = {}
    if len(selection) == 1 and is_file(as_path(selection[0]) / "config.yaml"):
        source = run_config(as_path(selection[0])).model_dump(mode="json")
        base = {name: source[name] for name in ("prompt", "rollouts", "verifier", "gradients")}
        base["rollouts"] |= {"engine": "transformers", "recorded": [], "recorded_format": None}
    return config_from(
        config,
        sets,
        {"run__out": out} | {k: v for k, v in flags.items() if v is not None},
        base=base,
        model__path=model or None,
        data__paths=selection or None,
    )


def _option(key: str) -> Callable[[Command], Command]:
    section, name = key.split(".")
    field = getattr(Config(), section).__class__.model_fields[name]
    text = " ".join((field.description or "").split())
    flag = "--" + _NAMES.get(key, name).replace("_", "-")
    parameter = key.replace(".", "__")
    declarations = [flag, parameter, *([_SHORT[key]] if key in _SHORT else [])]
    if get_origin(field.annotation) is Literal:
        text += f" ({', '.join(get_args(field.annotation))})"
    if field.annotation is bool:
        return click.option(*declarations, is_flag=True, default=False, help=text)
    default = field.default
    if default not in (None, "", (), False):
        text += f" [default: {default}]"
    several = get_origin(field.annotation) is tuple
    metavar = {"budget": "K"}.get(name, name.split("_")[-1].upper())
    return click.option(*declarations, multiple=several, metavar=metavar, help=text)
