"""``learnalign inspect``: everything a run knows of one problem."""

from pathlib import Path
from typing import Any

import click

from learnalign.cli import options as o
from learnalign.cli.echo import echo, echo_json

#: Characters of an answer that stand in its line; --json has it whole.
_LONGEST = 200


@click.command()
@click.argument("run", type=o.PLACE)
@click.argument("problem_id")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(run: Path, problem_id: str, as_json: bool) -> None:
    """Print one problem of RUN: its prompt, answer, rollouts, verdicts, gradient and scores."""
    from learnalign.workflows.inspect import inspect

    known = inspect(run, problem_id)
    if as_json:
        echo_json(known)
        return
    problem, scores = known["problem"], known["scores"]
    for row in known["excluded"]:
        echo(f"left out in stage {row['stage']}: {row['reason']} ({row['detail']})")
    if problem:
        echo(f"{problem['prompt']}\n\nanswer: {problem['answer']}")
        echo(f"source: {problem['source']}, difficulty: {problem['difficulty']}")
    for name, value in (scores or {}).items():
        echo(f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")
    for row in known["rollouts"]:
        length = len(row["token_ids"])
        echo(
            f"\n--- {row['sample']}: {row['verdict']}, reward {row['reward']}, {length} tokens, "
            f"{row['finish_reason']}, {_answer(row)}\n{row['completion']}"
        )


def _answer(row: dict[str, Any]) -> str:
    """Say in a line what was taken for a rollout's answer, what was read in it, and what failed.

    Example:
        >>> row = {"extracted_answer": "$1,234$", "parsed_answer": "1234", "detail": None}
        >>> _answer(row | {"verdict": "correct"})
        "answer '$1,234$' read as '1234'"
        >>> row = {"extracted_answer": None, "parsed_answer": None, "detail": "no answer"}
        >>> _answer(row | {"verdict": "unparsed_answer"})
        'answer None (no answer)'
    """
    taken, read = row["extracted_answer"], row["parsed_answer"]
    said = f"answer {_short(read if taken is None else taken)}"
    if taken is not None and read != taken:
        said += f" read as {_short(read)}"
    failed = row["verdict"] not in ("correct", "wrong") and row["detail"]
    return said + (f" ({' '.join(row['detail'].split())})" if failed else "")


def _short(text: str | None) -> str:
    return repr(text if text is None or len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
