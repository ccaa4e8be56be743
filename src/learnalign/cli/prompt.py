"""``learnalign prompt``: print what the model sees for one problem."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json


@click.command()
@click.argument("model", required=False)
@click.argument("data", nargs=-1)
@click.option("--index", default=0, show_default=True, help="Index of the problem, from 0.")
@click.option("--id", "problem_id", help="Id of the problem.")
@o.options(*o.PROMPT, *o.DATA, "model.revision")
@o.config_options
@click.option("--json", "as_json", is_flag=True, help="Print text, token ids and answer as JSON.")
def command(
    model: str | None,
    data: tuple[str, ...],
    index: int,
    problem_id: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Print exactly the text that MODEL sees for one problem of DATA."""
    resolved = o.config_from(
        config, sets, flags, model__path=model or None, data__paths=data or None
    )
    from learnalign.errors import LearnAlignError
    from learnalign.models.loading import load_tokenizer
    from learnalign.pipeline.verifiers import verifier_counts, verifier_line, verifier_of
    from learnalign.problems.pool import read_pool
    from learnalign.problems.prompts import Prompter
    from learnalign.problems.reading import reading_lines
    from learnalign.verifying.trainer_values import prompt_text

    prompter = Prompter(load_tokenizer(resolved.model), resolved.prompt)
    pool = read_pool(resolved.data)
    wanted = [
        p
        for number, p in enumerate(pool.problems)
        if (p["problem_id"] == problem_id if problem_id else number == index)
    ]
    if not wanted:
        for line in reading_lines(pool.readings):
            echo(line, err=True)
        raise LearnAlignError(
            f"got the problem {problem_id or index}",
            expected=f"one of the {len(pool.problems)} problems in the data",
            do="correct --index or --id",
        )
    text, ids = prompter(wanted[0]["messages"], wanted[0]["row"])
    auto = resolved.verifier.kind == "auto"
    if as_json:
        result = {"problem_id": wanted[0]["problem_id"], "prompt": text, "prompt_ids": ids}
        result["read"] = reading_lines(pool.readings)
        result["verifier"] = (
            verifier_of(wanted[0] | {"prompt": text}) if auto else resolved.verifier.kind
        )
        echo_json(result | {"answer": wanted[0]["answer"]})
        return
    echo(text)
    note = f"{wanted[0]['problem_id']}: {len(ids)} tokens; answer: {wanted[0]['answer']}"
    echo(f"\n[{note}]", err=True)
    for line in reading_lines(pool.readings):
        echo(line, err=True)
    if auto:
        problems = (p | {"prompt": prompt_text(p["messages"])} for p in pool.problems)
        echo(verifier_line(verifier_counts(problems)), err=True)
