"""NeMo-RL's rows: `input` and `output`, which it makes a user's and an assistant's message of.

Rows with `problem` and `expected_answer`, which its math_data_processor reads, are recognised too.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, last_text


def _recognises(row: Mapping[str, Any]) -> bool:
    if isinstance(row.get("problem"), str) and row.get("expected_answer") is not None:
        return True
    return isinstance(row.get("input"), str) and isinstance(row.get("output"), str)


def _build(problem: Problem) -> Row:
    return {"input": last_text(problem.messages), "output": problem.gold}


NEMO_RL = RowFormat(
    trainer="NeMo-RL",
    recognises=_recognises,
    build=_build,
    prompt=("input",),
    gold=("output",),
    read_with="data.train.dataset_name: ResponseDataset, processor: math_hf_data_processor",
    proof="its `ResponseDataset` and `math_hf_data_processor`, 08-2026",
    text_prompt=True,
    system_prompt="data.default.system_prompt_file, which math_data_processor reads",
    reads=((("input",), ("output",)), (("problem",), ("expected_answer",))),
)
