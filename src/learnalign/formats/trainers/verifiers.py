"""Rows for verifiers and prime-rl: `prompt` and `answer`, the columns of an environment's data set.

Rows with `question`, which an environment makes the prompt of, `answer` and `info` are
recognised too.
In verifiers v1 a task set is Python code: its `load` makes tasks of these rows.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _recognises(row: Mapping[str, Any]) -> bool:
    if not isinstance(row.get("answer"), str):
        return False
    if row.get("prompt") is None:
        return isinstance(row.get("question"), str) and "info" in row
    return is_prompt(row["prompt"]) and "label" not in row


def _build(problem: Problem) -> Row:
    return {"prompt": problem.messages, "answer": problem.gold}


VERIFIERS = RowFormat(
    trainer="verifiers and prime-rl",
    recognises=_recognises,
    build=_build,
    prompt=("prompt",),
    gold=("answer",),
    read_with='load_dataset("json", data_files=FILE) in the environment, or in a task set\'s load',
    proof="the columns that `Environment` reads, 10-2025 (not run)",
    verbatim=True,
    reads=((("prompt",), ("answer",)), (("question",), ("answer",))),
)
