"""``learnalign inspect``: everything a run stores about one problem."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json

#: Longest answer printed, in characters; --json prints all of it.
_LONGEST = 200


@click.command()
@click.argument("run", type=o.PATH_OR_URL)
@click.argument("problem_id")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(run: Path, problem_id: str, as_json: bool) -> None:
    """Print one problem of RUN: its prompt, answer, rollouts, verdicts, gradient and scores."""
    from learnalign.problems.suites.shown import shown_gold
    from learnalign.workflows.inspect import inspect

    info = inspect(run, problem_id)
    if as_json:
        echo_json(info)
        return
    problem, scores = info["problem"], info["scores"]
    for row in info["excluded"]:
        echo(f"excluded in stage {row['stage']}: {row['reason']} ({row['detail']})")
    if problem:
        echo(f"{problem['prompt']}\n\nanswer: {shown_gold(problem['answer'] or '')}")
        echo(f"source: {problem['source']}, difficulty: {problem['difficulty']}")
    for name, value in (scores or {}).items():
        echo(f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")
    for row in info["rollouts"]:
        length = len(row["token_ids"])
        echo(
            f"\n--- {row['sample']}: {row['verdict']}, reward {row['reward']}, {length} tokens, "
            f"{row['finish_reason']}, {_answer(row)}\n{row['completion']}"
        )


def _answer(row: dict[str, Any]) -> str:
    """Return a line with a rollout's extracted answer, its parsed form, and why it failed.

    Example:
        >>> row = {"extracted_answer": "$1,234$", "parsed_answer": "1234", "detail": None}
        >>> _answer(row | {"verdict": "correct"})
        "answer '$1,234$' parsed as '1234'"
        >>> row = {"extracted_answer": None, "parsed_answer": None, "detail": "no answer"}
        >>> _answer(row | {"verdict": "unparsed_answer"})
        'answer None (no answer)'
    """
    extracted, parsed = row["extracted_answer"], row["parsed_answer"]
    line = f"answer {_short(parsed if extracted is None else extracted)}"
    if extracted is not None and parsed != extracted:
        line += f" parsed as {_short(parsed)}"
    failed = row["verdict"] != "correct" and row["detail"]
    return line + (f" ({' '.join(row['detail'].split())})" if failed else "")


def _short(text: str | None) -> str:
    return repr(text if text is None or len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
