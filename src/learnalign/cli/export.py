"""``learnalign export``: write the selection in a trainer's format."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@click.option(
    "--as",
    "kind",
    required=True,
    metavar="FORMAT",
    help="trl, verl, openrlhf, open-instruct, nemo-rl, nemo-gym, verifiers, slime, skyrl, areal, "
    "rllm, jsonl, parquet or ids.",
)
@click.option(
    "--out",
    type=o.PATH_OR_URL,
    help="Output folder. [default: RUN/export-FORMAT; of a subset RUN/export-FORMAT-NAME]",
)
@click.option(
    "--subset",
    default="selected",
    show_default=True,
    help="selected, random (a random subset of the same size), all, or a file of ids, such as "
    "`learnalign explore` and `compare` write.",
)
@click.option(
    "--order",
    default="score",
    show_default=True,
    help="score (a file of ids keeps its own order), or pool (pool order).",
)
@click.option(
    "--prompts",
    default="own",
    show_default=True,
    help="In a trainer's format: own (prompts of your rows), or scored (with the run's system "
    "prompt and instruction).",
)
@click.option(
    "--batch-size", type=int, help="Prompts per training step; warns about rows that get dropped."
)
@click.option("--no-control", is_flag=True, help="Do not export a random control of equal size.")
@click.option("--json", "as_json", is_flag=True, help="Print paths and warnings as JSON.")
def command(
    run: Path,
    kind: str,
    out: Path | None,
    subset: str,
    order: str,
    prompts: str,
    batch_size: int | None,
    no_control: bool,
    as_json: bool,
) -> None:
    """Export the chosen problems of RUN as their original rows, ordered by score.

    \b
      learnalign export runs/x --as trl --batch-size 8
      learnalign export runs/x --as verl --batch-size 64 --prompts scored
      learnalign export runs/x --as trl --subset runs/x/subsets/mine.json
    """  # noqa: D301
    resolved = o.run_config(run)
    from learnalign.workflows.export import export_run

    done = export_run(
        run,
        resolved,
        kind,
        out=out,
        subset=subset,
        order=order,
        prompts=prompts,
        batch_size=batch_size,
        control=not no_control,
    )
    if as_json:
        plain = {"paths": [str(path) for path in done.paths]}
        echo_json(plain | {"warnings": done.warnings, "hints": done.hints})
        return
    for path in done.paths:
        echo(path)
    for warning in done.warnings:
        echo(f"warning: {warning}", err=True)
    for hint in done.hints:
        echo(f"hint: {hint}", err=True)
