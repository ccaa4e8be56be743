"""``learnalign train``: GRPO on the chosen problems."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("selection", nargs=-1)
@o.options(*o.TRAINING, "training.subset", *o.SAMPLING, *o.PROMPT, *o.DATA, *o.OBJECTIVE, *o.MODEL)
@o.options("training.history", "run.out", "run.seed")
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
    selection: tuple[str, ...],
    config: Path | None,
    sets: tuple[str, ...],
    dry_run: bool,
    redo: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train MODEL with GRPO on the chosen problems of SELECTION.

    SELECTION is the folder of a finished `learnalign select`, or data as `select` takes it. The
    problems of a selection keep the prompts they were scored with, and its sampling and verifier
    options are the defaults. Run the same command to resume an interrupted training.

    \b
      learnalign train models/my-model runs/x --out runs/trained
      learnalign train models/my-model runs/x --subset random --out runs/control
      learnalign train my/model runs/x --trainer trl --set training.trl.use_vllm=true \\
        --set training.sampling=trl
    """  # noqa: D301
    resolved = o.training_config(model, selection, config, sets, flags)
    if dry_run:
        from learnalign.workflows.estimate import dry_run_training as plan

        echo(plan(resolved, as_json=as_json))
        return
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.train import train

    done = train(resolved, progress=Progress("none" if as_json else "auto"), redo=redo)
    from learnalign.cli.output import print_training, training_summary

    if as_json:
        echo_json(training_summary(done))
        return
    print_training(done)
