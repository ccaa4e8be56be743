"""Rows for verifiers and prime-rl: `prompt` and `answer`, the columns of an environment's data set.

In verifiers v1 a task set is Python code: its `load` makes tasks of these rows.
"""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _build(problem: Problem) -> Row:
    return {"prompt": problem.messages, "answer": problem.gold}


VERIFIERS = RowFormat(
    trainer="verifiers and prime-rl",
    recognises=lambda row: (
        is_prompt(row.get("prompt")) and isinstance(row.get("answer"), str) and "label" not in row
    ),
    build=_build,
    prompt=("prompt",),
    gold=("answer",),
    read_with='load_dataset("json", data_files=FILE) in the environment, or in a task set\'s load',
    proof="the columns that `Environment` reads, 10-2025 (not run)",
)
