"""open-instruct's rows: `messages`, `ground_truth`, and `dataset`, the name of the verifier."""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _build(problem: Problem) -> Row:
    return {"messages": problem.messages, "ground_truth": problem.gold, "dataset": "math"}


OPEN_INSTRUCT = RowFormat(
    trainer="open-instruct",
    recognises=lambda row: (
        isinstance(row.get("messages"), list)
        and is_prompt(row["messages"])
        and "ground_truth" in row
        and isinstance(row.get("dataset"), str | list)
    ),
    build=_build,
    prompt=("messages",),
    gold=("ground_truth",),
    read_with="--dataset_mixer_list FILE 1.0; `dataset` names the verifier, here math",
    proof="its `rlvr_tokenize_v3`, 08-2026",
)
