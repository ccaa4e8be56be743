"""slime's rows: `prompt`, `label` and `metadata`."""

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, is_prompt


def _build(problem: Problem) -> Row:
    return {
        "prompt": problem.messages,
        "label": problem.gold,
        "metadata": {"source": problem.source},
    }


SLIME = RowFormat(
    trainer="slime",
    recognises=lambda row: is_prompt(row.get("prompt")) and "label" in row,
    build=_build,
    prompt=("prompt",),
    gold=("label",),
    read_with="--input-key prompt --label-key label --apply-chat-template",
    proof="its `Dataset`, 08-2026",
)
