"""NeMo-Gym's rows: a request, the agent that answers it, and the fields of its verifier.

Built rows are for the resources server math_with_judge, which reads `question` and
`expected_answer`.
"""

from collections.abc import Mapping
from typing import Any

from learnalign.formats.trainers.row_format import Problem, Row, RowFormat, at, is_prompt, last_text

_AGENT = {"type": "responses_api_agents", "name": "math_with_judge_simple_agent"}


def _recognises(row: Mapping[str, Any]) -> bool:
    return is_prompt(at(row, ("responses_create_params", "input")))


def _build(problem: Problem) -> Row:
    return {
        "responses_create_params": {"input": problem.messages},
        "agent_ref": dict(_AGENT),
        "question": last_text(problem.messages),
        "expected_answer": problem.gold,
    }


NEMO_GYM = RowFormat(
    trainer="NeMo-Gym",
    recognises=_recognises,
    build=_build,
    prompt=("responses_create_params", "input"),
    gold=("expected_answer",),
    read_with="+input_jsonl_fpath=FILE; built rows need the server math_with_judge",
    proof="the fields that math_with_judge's request declares, 08-2026 (not run)",
    system=("responses_create_params", "instructions"),
)
