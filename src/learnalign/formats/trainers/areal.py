"""AReaL's rows: `messages` and `answer`, which its workflows read; the data loader is yours."""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _build(problem: Problem) -> Row:
    return {"messages": problem.messages, "answer": problem.gold}


AREAL = RowFormat(
    trainer="AReaL",
    recognises=lambda row: (
        isinstance(row.get("messages"), list)
        and is_prompt(row["messages"])
        and isinstance(row.get("answer"), str)
    ),
    build=_build,
    prompt=("messages",),
    gold=("answer",),
    read_with='load_dataset("json", data_files=FILE) in your script',
    proof="the columns that its GSM8K data set returns, 05-2026 (not run)",
)
