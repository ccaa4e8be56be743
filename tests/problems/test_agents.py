"""Rows for agents leave the pool with the column that says so, unless they are kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from learnalign.config import DataConfig
from learnalign.problems.pool import read_pool

CHAT = [{"role": "user", "content": "2+2?"}]
VERL = {
    "data_source": "sums",
    "prompt": CHAT,
    "reward_model": {"style": "rule", "ground_truth": "4"},
}
OPEN_INSTRUCT = {"messages": CHAT, "ground_truth": "4", "dataset": "math"}
KWARGS = {"calc_gsm8k_reward": {"create_kwargs": {"ground_truth": "4"}}}
#: Rows as verl's gsm8k_multiturn_w_tool.py and gsm8k_multiturn_w_interaction.py, open-instruct's
#: environments, verifiers and NeMo-Gym write them, and the column that says so.
AGENTS: list[tuple[str, dict[str, Any]]] = [
    ("agent_name", VERL | {"agent_name": "tool_agent"}),
    ("extra_info.tools_kwargs", VERL | {"extra_info": {"index": 1, "tools_kwargs": KWARGS}}),
    ("extra_info.need_tools_kwargs", VERL | {"extra_info": {"need_tools_kwargs": True}}),
    ("extra_info.interaction_kwargs",
     VERL | {"extra_info": {"need_tools_kwargs": False, "interaction_kwargs": {"name": "gsm8k"}}}),
    ("tools_kwargs", VERL | {"tools_kwargs": json.dumps(KWARGS)}),
    ("tools", OPEN_INSTRUCT | {"tools": ["python"]}),
    ("env_config", OPEN_INSTRUCT | {"env_config": {"env_configs": [{"env_name": "counter"}]}}),
    ("info.oai_tools", {"prompt": CHAT, "answer": "4", "info": '{"oai_tools": [{"name": "x"}]}'}),
    ("responses_create_params.tools",
     {"responses_create_params": {"input": CHAT, "tools": [{"name": "x"}]},
      "expected_answer": "4", "agent_ref": {"name": "mine"}}),
]  # fmt: skip
PLAIN: list[dict[str, Any]] = [
    VERL | {"agent_name": "single_turn_agent", "extra_info": {"need_tools_kwargs": False}},
    VERL | {"extra_info": {"tools_kwargs": {"x": {"create_kwargs": {"ground_truth": None}}}}},
    VERL | {"extra_info": {"interaction_kwargs": {}, "tools_kwargs": None}, "agent_name": None},
    OPEN_INSTRUCT | {"tools": [], "env_config": None},
    OPEN_INSTRUCT | {"tools": "[]", "env_config": "{}"},
]


def _read(folder: Path, row: dict[str, Any], **options: Any) -> tuple[list[Any], list[Any]]:
    (folder / "x.jsonl").write_text(json.dumps(row))
    pool = read_pool(DataConfig(paths=(str(folder / "x.jsonl"),), **options))
    return pool.problems, pool.excluded


@pytest.mark.parametrize(("column", "row"), AGENTS)
def test_rows_for_agents(column: str, row: dict[str, Any], tmp_path: Path) -> None:
    problems, (gone,) = _read(tmp_path, row)
    assert (problems, gone["reason"]) == ([], "tool_calls")
    assert f"'{column}' makes it a row for an agent" in gone["detail"]
    (kept,), excluded = _read(tmp_path, row, tool_rows="keep")
    assert (kept["messages"], kept["answer"], excluded) == (CHAT, "4", [])
    assert json.loads(kept["row"]) == row


@pytest.mark.parametrize("row", PLAIN)
def test_rows_whose_columns_name_no_tool(row: dict[str, Any], tmp_path: Path) -> None:
    (kept,), excluded = _read(tmp_path, row)
    assert (kept["answer"], excluded) == ("4", [])
