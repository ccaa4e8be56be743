"""Rows for agents go out whole in their own format, and are refused in others with the reason."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.exports import problem
from learnalign.errors import LearnAlignError
from learnalign.formats.export import FORMATS

CHAT = [{"role": "user", "content": "2+2?"}]
KWARGS = {"calc_gsm8k_reward": {"create_kwargs": {"ground_truth": "4"}}}
ROWS: dict[str, dict[str, Any]] = {
    "verl": {
        "data_source": "sums",
        "agent_name": "tool_agent",
        "prompt": CHAT,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {
            "index": 1,
            "need_tools_kwargs": True,
            "tools_kwargs": KWARGS,
            "interaction_kwargs": {"name": "gsm8k"},
        },
    },
    "open-instruct": {
        "messages": CHAT,
        "ground_truth": "4",
        "dataset": "math",
        "tools": ["python"],
        "env_config": {"env_configs": [{"env_name": "counter"}]},
    },
    "slime": {"prompt": CHAT, "label": "4", "metadata": {"tools": [{"name": "x"}]}},
    "nemo-gym": {
        "responses_create_params": {"input": CHAT, "tools": [{"name": "x"}]},
        "agent_ref": {"name": "mine"},
        "question": "2+2?",
        "expected_answer": "4",
    },
}


def _pool(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [problem(4, row, source_row=0, messages=CHAT, prompt="2+2?")]


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("kind", ROWS)
def test_whole_in_their_own_format(run, kind, typed):
    originals = {0: pa.Table.from_pylist([ROWS[kind]])} if typed else {}
    for name in (kind, "jsonl", "parquet"):
        path = run(name, _pool(ROWS[kind]), selected=(4,), originals=originals, out=name)[0].paths[
            0
        ]
        (row,) = (
            pq.read_table(path).to_pylist()
            if path.suffix == ".parquet"
            else map(json.loads, path.read_text().splitlines())
        )
        own = {column: row[column] for column in ROWS[kind]}
        if name == "verl":
            own["extra_info"] = {key: own["extra_info"][key] for key in ROWS[kind]["extra_info"]}
        assert own == ROWS[kind]


@pytest.mark.parametrize("other", sorted({*FORMATS} - {"jsonl", "parquet", "ids"}))
@pytest.mark.parametrize("kind", ROWS)
def test_refused_in_other_formats(run, tmp_path, kind, other):
    if kind == other:
        return
    with pytest.raises(LearnAlignError, match=r"(?s)problem p4 is for an agent.*lose its tools"):
        run(other, _pool(ROWS[kind]), selected=(4,))
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("kind", ["verl", "parquet"])
def test_objects_without_fields_are_null_in_parquet(run, kind):
    """As for a tool without parameters: Parquet has no type for them."""
    tools = [{"name": "clock", "parameters": {}}]
    row = ROWS["verl"] | {"tools": tools, "info": {}, "extra_info": {"index": 1, "kwargs": {}}}
    done, _ = run(kind, _pool(row), selected=(4,))
    (written,) = pq.read_table(done.paths[0]).to_pylist()
    assert written["info"] is None
    assert written["tools"] == [{"name": "clock", "parameters": None}]
    extra = {name: written["extra_info"][name] for name in ("index", "kwargs")}
    assert extra == {"index": 1, "kwargs": None}
    assert any("those in extra_info, tools, info became null" in text for text in done.warnings)
