"""A tokenizer's pad token that the model's embeddings do not hold changes nothing anywhere."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

import learnalign
from helpers.digits import OPTIONS, digits_model
from learnalign import load_config
from learnalign.terminal.progress import Progress
from learnalign.workflows.train import train

QUESTIONS = {"2+2=": "4", "1+1+1+1+1=": "5", "12+0+3=": "15", "7=": "7"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [{"id": q, "question": q, "answer": a} for q, a in QUESTIONS.items()]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """The same model twice; the second one's pad token is one past its last embedding."""
    usual, beyond = (digits_model(tmp_path / name) for name in ("usual", "beyond"))
    tokenizer = AutoTokenizer.from_pretrained(beyond)
    tokenizer.add_special_tokens({"pad_token": "<nowhere>"})
    config = json.loads((beyond / "config.json").read_text())
    assert tokenizer.pad_token_id == config["vocab_size"]
    tokenizer.save_pretrained(beyond)
    return [usual, beyond]


def _table(folder: Path, stage: str) -> pa.Table:
    return pa.concat_tables(map(pq.read_table, sorted((folder / stage).glob("*.parquet"))))


def test_a_selection(models: list[Path], data: Path, tmp_path: Path) -> None:
    options = OPTIONS | {"rollouts.max_tokens": 3, "run.shard_size": 4}
    runs = [
        learnalign.select(
            str(model), str(data), budget=2, out=tmp_path / "runs" / model.name, options=options,
            progress="none",
        )
        for model in models
    ]  # fmt: skip
    for stage in ("rollouts", "verdicts", "gradients"):
        usual, beyond = (_table(run.path, stage) for run in runs)
        assert usual.num_rows > 0
        assert usual.equals(beyond), stage


def test_a_question_that_holds_it_is_set_aside(models: list[Path], tmp_path: Path) -> None:
    data = tmp_path / "odd.jsonl"
    rows = [{"id": n, "question": q, "answer": "4"} for n, q in enumerate(["2+2=", "<nowhere>2="])]
    data.write_text("\n".join(map(json.dumps, rows)))
    done = learnalign.select(
        str(models[1]),
        str(data),
        budget=1,
        out=tmp_path / "run",
        progress="none",
        options=OPTIONS | {"selection.method": "random"},
    )
    (gone,) = done.excluded.to_pylist()
    assert (gone["problem_id"], gone["reason"]) == ("1", "unknown_token")
    assert "15 ('<nowhere>') is not one of the model's 15" in gone["detail"]
    assert any("a token that the model does not have" in t for t in done.summary["warnings"])


@pytest.mark.parametrize("trainer", ["native", pytest.param("trl", marks=pytest.mark.slow)])
def test_a_training(models: list[Path], data: Path, tmp_path: Path, trainer: str) -> None:
    if trainer == "trl":
        pytest.importorskip("trl")
    histories = []
    for model in models:
        options: dict[str, Any] = OPTIONS | {
            "model.path": str(model),
            "data.paths": (str(data),),
            "rollouts.max_tokens": 3,
            "training.trainer": trainer,
            "training.problems_per_step": 4,
            "training.steps": 2,
            "run.out": tmp_path / "trained" / model.name,
        }
        done = train(load_config(overrides=options), progress=Progress("none"))
        histories.append(done.history())
    assert histories[0].num_rows == 2 * 4 * 8
    assert histories[0].equals(histories[1])
