"""OpenRLHF's rows: `input`, `label`, and `datasource`, which its reward functions receive."""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _build(problem: Problem) -> Row:
    return {"input": problem.messages, "label": problem.gold, "datasource": problem.source}


OPENRLHF = RowFormat(
    trainer="OpenRLHF",
    recognises=lambda row: is_prompt(row.get("input")) and "label" in row,
    build=_build,
    prompt=("input",),
    gold=("label",),
    read_with="--data.input_key input --data.label_key label --data.apply_chat_template",
    proof="its `PromptDataset`, 08-2026",
)
