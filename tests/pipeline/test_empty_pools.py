"""A pool without a usable problem ends a run with the reason, and a corrected option goes on."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import learnalign
from helpers.digits import OPTIONS, digits_model
from learnalign.config import DataConfig
from learnalign.errors import LearnAlignError
from learnalign.problems.pool import read_pool
from learnalign.problems.reading import reading_lines

ROWS = [{"question": f"{n}+1=", "answer": "", "gold": str(n + 1)} for n in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_model(tmp_path_factory.mktemp("models") / "digits")


def _select(model: Path, data: Path, out: Path, **options: Any) -> learnalign.Selection:
    named = OPTIONS | {name.replace("__", "."): value for name, value in options.items()}
    return learnalign.select(
        str(model), str(data), budget=2, out=out, options=named, progress="none"
    )


def test_another_column_goes_on_in_the_same_folder(model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "sums.jsonl", tmp_path / "run"
    data.write_text("\n".join(map(json.dumps, ROWS)))
    with pytest.raises(LearnAlignError, match=r"all 4 were excluded \(missing_answer\)"):
        _select(model, data, out, data__answer_column="answer")
    done = _select(model, data, out, data__answer_column="gold")
    assert done.scores.num_rows == 4


def test_other_data_go_on_without_the_first_ones_types(model: Path, tmp_path: Path) -> None:
    first, second, out = tmp_path / "a.parquet", tmp_path / "b.jsonl", tmp_path / "run"
    pq.write_table(pa.Table.from_pylist([row | {"gold": None} for row in ROWS]), first)
    second.write_text("\n".join(map(json.dumps, [row | {"answer": "1"} for row in ROWS])))
    with pytest.raises(LearnAlignError, match="no usable problem"):
        _select(model, first, out)
    assert _select(model, second, out, data__answer_column="gold").scores.num_rows == 4
    assert not (out / "sources").exists()


def test_a_source_without_rows_among_others_is_told(tmp_path: Path) -> None:
    empty, data = tmp_path / "empty.jsonl", tmp_path / "sums.jsonl"
    empty.touch()
    data.write_text("\n".join(map(json.dumps, ROWS)))
    pool = read_pool(DataConfig(paths=(str(empty), str(data)), answer_column="gold"))
    assert [problem["source_index"] for problem in pool.problems] == [1] * 4
    assert reading_lines(pool.readings)[0] == f"{empty}: no rows"
    with pytest.raises(LearnAlignError, match=r"empty\.jsonl has no rows\n.*empty\.jsonl has no"):
        read_pool(DataConfig(paths=(str(empty), str(empty))))
