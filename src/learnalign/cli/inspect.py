"""``learnalign inspect``: everything a run knows of one problem."""

from pathlib import Path

import click

from learnalign.cli import options as o
from learnalign.cli.saying import say, say_json


@click.command()
@click.argument("run", type=o.PLACE)
@click.argument("problem_id")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(run: Path, problem_id: str, as_json: bool) -> None:
    """Print one problem of RUN: its prompt, answer, rollouts, verdicts, gradient and scores."""
    from learnalign.runs.inspecting import inspect

    known = inspect(run, problem_id)
    if as_json:
        say_json(known)
        return
    problem, scores = known["problem"], known["scores"]
    for row in known["excluded"]:
        say(f"left out in stage {row['stage']}: {row['reason']} ({row['detail']})")
    if problem:
        say(f"{problem['prompt']}\n\nanswer: {problem['answer']}")
        say(f"source: {problem['source']}, difficulty: {problem['difficulty']}")
    for name, value in (scores or {}).items():
        say(f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")
    for row in known["rollouts"]:
        length = len(row["token_ids"])
        say(
            f"\n--- {row['sample']}: {row['verdict']}, reward {row['reward']}, {length} tokens, "
            f"{row['finish_reason']}, answer {row['parsed_answer']!r}\n{row['completion']}"
        )
