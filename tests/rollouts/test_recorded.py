"""Recorded rollouts come back as they were, joined by id or by question, in any usual shape."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.config import ModelConfig, RolloutConfig
from learnalign.errors import LearnAlignError
from learnalign.models import load_tokenizer
from learnalign.rollouts.recorded import RecordedEngine
from learnalign.tables import PROBLEMS


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(ModelConfig(path=str(smollm2)))


def _problems() -> pa.Table:
    rows = [
        {
            "problem_id": f"p{i}",
            "prompt": f"<chat>{i}?",
            "messages": [{"role": "user", "content": f"{i}?"}],
        }
        for i in range(3)
    ]
    return pa.Table.from_pylist(rows, schema=PROBLEMS)


def _engine(
    tmp_path: Path, rows: list[dict[str, Any]], tokenizer: Any, **options: Any
) -> RecordedEngine:
    path = tmp_path / "rollouts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return RecordedEngine(RolloutConfig(recorded=(path,), **options), tokenizer)


CHAT = [{"role": "user", "content": "2?"}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"problem_id": "p2", "completion": t, "reward": r} for t, r in [("a", 0), ("bc", 1)]],
        [{"question": "2?", "responses": ["a", "bc"], "score": [False, True]}],
        [{"prompt": "<chat>2?", "output": ["a", "bc"], "scores": [0.0, 1.0]}],
        [
            {"prompt": CHAT, "completion": [{"role": "assistant", "content": t}], "reward": r}
            for t, r in [("a", 0), ("bc", 1)]
        ],
    ],
)
def test_usual_shapes(tmp_path: Path, rows: list[dict[str, Any]], tokenizer: Any) -> None:
    engine = _engine(tmp_path, rows, tokenizer)
    table = engine.sample(_problems())
    assert table["problem_id"].to_pylist() == ["p2", "p2"]
    assert table["completion"].to_pylist() == ["a", "bc"]
    assert table["recorded_reward"].to_pylist() == [0.0, 1.0]
    for text, ids in zip(("a", "bc"), table["token_ids"].to_pylist(), strict=True):
        assert tokenizer.decode(ids) == text + tokenizer.eos_token
    assert [name for name, _, _ in engine.failures] == ["p0", "p1"]


def test_token_ids_are_taken_and_long_texts_cut(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"id": "p0", "completion": "x", "token_ids": [5, 6], "finish_reason": "length"}] * 2
    rows += [{"id": "p1", "completion": "one two three four five"}] * 3
    table = _engine(tmp_path, rows, tokenizer, max_tokens=3, num_rollouts=2).sample(_problems())
    assert table["token_ids"].to_pylist()[:2] == [[5, 6]] * 2
    assert [len(ids) for ids in table["token_ids"].to_pylist()[2:]] == [3, 3]
    assert set(table["finish_reason"].to_pylist()) == {"length"}
    assert table["recorded_reward"].null_count == 4


def test_a_rollouts_table_is_read_back(tmp_path: Path, tokenizer: Any) -> None:
    rows = [{"problem_id": "p0", "completion": t, "reward": 1.0} for t in ("a", "b")]
    table = _engine(tmp_path, rows, tokenizer).sample(_problems())
    path = tmp_path / "again.parquet"
    pq.write_table(table, path)
    again = RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer).sample(_problems())
    assert again.equals(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1', "line 1: broken JSON"),
        ('{"id": "1", "txt": "a"}', "its columns are id, txt"),
        ('{"id": "1", "responses": ["a", "b"], "rewards": [1]}', "2 completions and 1 rewards"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str, tokenizer: Any) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(LearnAlignError, match=message):
        RecordedEngine(RolloutConfig(recorded=(path,)), tokenizer)


def test_no_file(tokenizer: Any) -> None:
    with pytest.raises(LearnAlignError, match="--recorded"):
        RecordedEngine(RolloutConfig(), tokenizer)
    with pytest.raises(LearnAlignError, match="got no file"):
        RecordedEngine(RolloutConfig(recorded=(Path("no.jsonl"),)), tokenizer)
