"""``learnalign verify``: judge completions against gold answers."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo_json


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--completion-column", metavar="COLUMN", help="Column of the model's completions.")
@o.options("data.answer_column", "data.prompt_column", "data.answer_form", "verifier.kind")
@o.options("verifier.sandbox")
@click.option(
    "--against",
    metavar="COLUMN",
    help="Column of another judge's verdicts to compare with; prints the differences.",
)
@click.option(
    "--differences",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Differences to print; --out has all of them.",
)
@o.options("data.split", "data.limit")
@o.config_options
@click.option("--out", "-o", type=o.PATH_OR_URL, help="Output file: .jsonl, .json or .parquet.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, including the verdicts if no --out."
)
def command(
    files: tuple[str, ...],
    completion_column: str | None,
    against: str | None,
    differences: int,
    config: Path | None,
    sets: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Judge the completions in FILE against their gold answers.

    A row holds a completion (or a list of them, or a chat), a gold answer, and for multiple choice
    the prompt. A column `verifier` or `kind` may name a row's verifier. Gold answers are read as
    `select` reads them; recorded rewards are ignored.

    \b
      learnalign verify answers.jsonl
      learnalign verify answers.parquet --verifier number --against reward --out verdicts.jsonl
    """  # noqa: D301
    resolved = o.config_from(config, sets, flags, data__paths=files)
    from learnalign.terminal.progress import Progress
    from learnalign.workflows.verify import differing, judge_files, summary

    done = judge_files(
        files,
        resolved,
        completion=completion_column,
        against=against,
        out=out,
        progress=Progress("none" if as_json else "auto"),
    )
    if as_json:
        tree = summary(done)
        if against is not None:
            tree["differences"] = differing(done)[:differences]
        echo_json(tree if out else tree | {"verdicts": done.rows})
        return
    from learnalign.cli.verdict_output import print_verdicts

    print_verdicts(done, against=against, max_differences=differences)
