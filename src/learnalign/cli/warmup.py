"""``learnalign warmup``: a short GRPO run before selecting."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@click.option(
    "--problems", type=int, default=300, show_default=True, help="Number of random problems."
)
@o.options(*o.TRAINING, *o.SAMPLING, *o.PROMPT, *o.DATA, *o.OBJECTIVE, *o.MODEL)
@o.options("run.out", "run.seed")
@o.config_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options and estimate the work.")
@click.option(
    "--redo",
    metavar="TABLE",
    help="problems or history: discard that table and everything after it. checkpoint: discard the "
    "latest checkpoint and resume from the one before.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    problems: int,
    config: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train MODEL briefly on a few problems of DATA, to select with the trained policy.

    The gradients of a policy that has started to learn predict better what it will learn. The
    final training starts from MODEL again. `learnalign select --warmup 300` warms up and selects.

    \b
      learnalign warmup my/model train.jsonl --problems 300 --out runs/warm
      learnalign select runs/warm/model train.jsonl --budget 1000 --out runs/x
    """  # noqa: D301
    resolved = o.training_config(model, data, config, sets, flags, out="runs/warmup")
    if dry_run:
        from learnalign.workflows.estimate import dry_run_training as plan
        from learnalign.workflows.warmup import warmup_config

        echo(plan(warmup_config(resolved, problems), as_json=as_json))
        return
    from learnalign.cli.output import print_training, training_summary
    from learnalign.terminal.commands import command_line
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.warmup import warm_up

    progress = Progress("none" if as_json else "auto")
    done = warm_up(resolved, problems, progress=progress, redo=redo)
    if as_json:
        echo_json(training_summary(done))
        return
    lora = resolved.training.parameters == "lora"
    policy = [resolved.model.path, "--adapter", done.model] if lora else [done.model]
    after = command_line("select", *policy, "DATA", "--budget", "K")
    print_training(done, after=f"select    {after}")
