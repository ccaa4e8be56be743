"""rLLM's rows: `question` or `instruction`, `ground_truth`, `data_source`, and an id."""

from collections.abc import Mapping
from typing import Any

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, last_text


def _recognises(row: Mapping[str, Any]) -> bool:
    question = row.get("question") or row.get("instruction")
    return isinstance(question, str) and "ground_truth" in row


def _build(problem: Problem) -> Row:
    return {
        "id": problem.problem_id,
        "question": last_text(problem.messages),
        "ground_truth": problem.gold,
        "data_source": problem.source,
    }


RLLM = RowFormat(
    trainer="rLLM",
    recognises=_recognises,
    build=_build,
    prompt=("question",),
    gold=("ground_truth",),
    read_with='Dataset.load_data("FILE")',
    proof="its `Dataset.load_data` and `_wrap_rows_as_tasks`, 08-2026",
    text_prompt=True,
    system_prompt="your agent flow",
    reads=((("instruction",), ("ground_truth",)), (("question",), ("ground_truth",))),
)
