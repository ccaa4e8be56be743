"""``learnalign profile``: is choosing worth its cost, for this pool and this model?"""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@o.options("data.sample", "selection.budget", "training.epochs", "rollouts.reuse", *o.SAMPLING)
@click.option("--gpus", type=click.IntRange(1), metavar="N", help="Predict the time on N GPUs.")
@click.option(
    "--gpu-price",
    type=click.FloatRange(0.0),
    metavar="PRICE",
    help="Price of one GPU for an hour, in any currency; needs --gpus.",
)
@click.option(
    "--gpu-rate",
    type=click.FloatRange(0.0, min_open=True),
    metavar="TOKENS",
    help="Tokens that one GPU samples in a second; by default, what is measured here if that is a "
    "GPU.",
)
@o.options("rollouts.engine", "server.url", *o.PROMPT, *o.DATA, *o.MODEL, *o.CLUSTER, *o.RUN)
@o.config_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options and estimate the work.")
@click.option("--redo", metavar="STAGE", help="Recompute a table and all later ones.")
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    gpus: int | None,
    gpu_price: float | None,
    gpu_rate: float | None,
    config: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Sample 200 problems of DATA: which have a signal for MODEL, and what would choosing cost?

    Says what selecting K problems (--budget) and training on them for --epochs passes costs,
    compared with training on everything or on random problems, and which command to run next. That
    command uses the rollouts again, and so does a larger profile (--reuse). Run the same command to
    resume an interrupted profile.

    \b
      learnalign profile my/model train.jsonl --budget 1000 --epochs 4
      learnalign profile my/model train.jsonl --problems 800 --reuse runs/profile --out runs/p800
      learnalign profile my/model train.jsonl --gpus 8 --gpu-price 2.50 --gpu-rate 3000
    """  # noqa: D301
    from learnalign.errors import LearnAlignError
    from learnalign.workflows.profile import DEFAULTS, check_profile, run_profile
    from learnalign.workflows.speed import Gpus

    if gpus is None and (gpu_price is not None or gpu_rate is not None):
        raise LearnAlignError(
            "got --gpu-price or --gpu-rate without --gpus",
            expected="the number of GPUs to predict for",
            do="add --gpus 1",
        )
    resolved = o.config_from(
        config, sets, flags, base=DEFAULTS, model__path=model or None, data__paths=data or None
    )
    predicted = None if gpus is None else Gpus(gpus, gpu_price, gpu_rate)
    if dry_run:
        from learnalign.workflows.estimate import dry_run_profile as plan

        check_profile(resolved, predicted)
        echo(plan(resolved, as_json=as_json))
        return
    from learnalign.terminal.progress import Progress

    progress = Progress("none" if as_json else "auto")
    done = run_profile(resolved, gpus=predicted, progress=progress, redo=redo)
    if as_json:
        echo_json(done.summary)
        return
    from learnalign.cli.profile_output import print_profile

    print_profile(done)
