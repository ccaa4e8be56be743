"""Every kind of source gives the same rows; what is broken is said with its place."""

import csv
import gzip
import json
import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.errors import LearnAlignError
from learnalign.problems.sources import read_source

ROWS = [{"question": "1+1?", "answer": "2"}, {"question": "Größe, in cm?", "answer": "3,5"}]


def _write(folder: Path, kind: str) -> Path:
    path = folder / f"pool.{kind}"
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    if kind == "jsonl":
        path.write_text(lines + "\n\n", encoding="utf-8-sig")
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif kind == "json":
        path.write_text(json.dumps({"data": ROWS, "version": 1}))
    elif kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["question", "answer"])
            writer.writeheader()
            writer.writerows(ROWS)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "folder":
        path.mkdir()
        for number, row in enumerate(ROWS):
            pq.write_table(pa.Table.from_pylist([row]), path / f"{number}.parquet")
    elif kind == "datasets":
        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    elif kind == "splits":
        parts = {name: datasets.Dataset.from_list(ROWS) for name in ("train", "test")}
        datasets.DatasetDict(parts).save_to_disk(path)
    return path


KINDS = ["jsonl", "jsonl.gz", "json", "csv", "parquet", "folder", "datasets", "splits"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_give_the_same_rows(tmp_path: Path, kind: str) -> None:
    source = read_source(str(_write(tmp_path, kind)))
    assert source.rows == ROWS
    assert source.name.startswith("pool")
    assert (source.original is not None) == (kind in {"parquet", "folder", "datasets", "splits"})


def test_limit(tmp_path: Path) -> None:
    assert read_source(str(_write(tmp_path, "jsonl")), limit=1).rows == ROWS[:1]


def test_gym_is_seeded_and_takes_options() -> None:
    spec = "reasoning-gym:chain_sum?size=5&seed=4&min_terms=3&max_terms=3"
    rows = read_source(spec).rows
    assert rows == read_source(spec).rows
    assert {row["metadata"]["num_terms"] for row in rows} == {3}


def test_pool_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text("- {dataset: gcd, size: 2}\n- {dataset: products, size: 3, source: times}\n")
    assert [row["source"] for row in read_source(str(path)).rows] == ["gcd"] * 2 + ["times"] * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.jsonl", None, "no file or folder .*missing.jsonl"),
        ("empty.jsonl", b"", "empty.jsonl has no rows"),
        ("empty.json", b" ", "empty.json has no rows"),
        ("empty.csv", b"question,answer\n", "empty.csv has no rows"),
        ("x.jsonl", b'{"a": 1}\n{"a": \n', "line 2: broken JSON"),
        ("x.jsonl", b'{"a": 1}\n[1]\n', "line 2: got a list"),
        (
            "x.jsonl",
            b'{"a": 1}\n{"a": "\xe4"}\n',
            r"(?s)line 2: the byte 0xe4 is not valid UTF-8.*iconv",
        ),
        ("x.json", b'[{"a": 1},\n{]', "line 2: broken JSON"),
        ("x.json", b'"text"', "contains a str"),
        ("x.csv", b"a,b\n1,2\n1,2,3\n", "line 3: expected 2 fields"),
        ("x.csv", b"a,b\n1\n", "line 2: expected 2 fields"),
        ("x.parquet", b"nothing", "is not a Parquet file"),
        ("x.parquet", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("x.jsonl.gz", b"nothing", "is broken gzip"),
        ("x.txt", b"hello", "a file of unknown type"),
        ("x.yaml", b"a: [", "broken YAML"),
        ("x.yaml", b"a: 1", "is not a pool"),
        ("x.yaml", b"- {dataset: gdc}", "the nearest is 'gcd'"),
        ("x.yaml", b"- {dataset: gcd, max_value: 3}", "unknown key 'max_value'"),
        ("x.yaml", b"- {dataset: gcd, params: {max: 3}}", "rejects"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LearnAlignError, match=message) as caught:
        read_source(str(path))
    assert caught.value.do


def test_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LearnAlignError, match="one of train, test"):
        read_source(str(_write(tmp_path, "splits")), split="validation")


def test_hub_name_without_network() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(LearnAlignError, match="cannot load 'openai/gsm8k' from the hub"):
        read_source("openai/gsm8k")


def test_a_pattern_reads_files_in_order(tmp_path):
    for number in (2, 0, 1):
        folder = tmp_path / "shards" / f"{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        row = json.dumps({"question": f"{number}+1?", "answer": str(number + 1)})
        (folder / f"part-{number}.jsonl.gz").write_bytes(gzip.compress(row.encode()))
        (folder / "notes.txt").write_text("no data")
    found = read_source(f"{tmp_path}/shards/*/part-*.jsonl.gz")
    assert [row["answer"] for row in found.rows] == ["1", "3", "2"]  # 0/part-0, 0/part-2, 1/part-1
    assert (found.name, found.notes[0]) == ("shards", "3 files")
    assert len(read_source(f"{tmp_path}/**/part-[01].*").rows) == 2
    assert len(read_source(f"{tmp_path}/**/part-*", limit=2).rows) == 2
    with pytest.raises(LearnAlignError, match="found no data file that matches"):
        read_source(f"{tmp_path}/shards/*.parquet")


def test_a_file_may_have_brackets_in_its_name(tmp_path):
    (tmp_path / "a[1].jsonl").write_text(json.dumps(ROWS[0]))
    assert read_source(str(tmp_path / "a[1].jsonl")).rows == ROWS[:1]


def test_parquet_shards_keep_their_types(tmp_path):
    for number in range(2):
        table = pa.table({"question": ["1?"], "answer": ["1"], "n": pa.array([number], pa.int16())})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    original = read_source(f"{tmp_path}/*.parquet").original
    assert original.schema.field("n").type == pa.int16()
    assert original["n"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.jsonl", b""),
        ("b.jsonl", b"\n\n"),
        ("b.jsonl", b"[]\n[]\n"),
        ("b.json", b"{}"),
        ("b.json", b"[]"),
        ("b.json", b'{"data": []}'),
        ("b.json", b'{"question": [], "answer": []}'),
        ("b.json", b'{"question": {}, "answer": {}}'),
        ("b.json", b'{"columns": ["question"], "data": []}'),
        ("b.json", b'{"train": [], "test": [{"question": "t", "answer": "1"}]}'),
        ("b.csv", b""),
        ("b.csv", b"question,answer\n"),
        ("b.parquet", b""),
        ("b.jsonl.gz", b""),
        ("b.jsonl.gz", gzip.compress(b"", mtime=0)),
        ("b.jsonl.xz", b""),
        ("b.jsonl.zst", b""),
    ],
)
@pytest.mark.parametrize("spec", ["", "/*.*"])
def test_a_file_without_rows_among_others(
    tmp_path: Path, spec: str, name: str, content: bytes
) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / name).write_bytes(content)
    source = read_source(f"{tmp_path}{spec}")
    assert source.rows == ROWS
    assert source.original is not None
    assert source.original.to_pylist() == ROWS
    assert source.notes[1] == "1 of 2 files have no rows"
    assert source.by_columns() == [source]
    with pytest.raises(LearnAlignError, match="has no rows"):
        read_source(str(tmp_path / name))


def test_a_table_without_rows_keeps_the_types_of_the_others(tmp_path: Path) -> None:
    whole = pa.table({"question": ["1?"], "answer": ["1"], "n": pa.array([3], pa.int16())})
    for number, table in enumerate((whole, whole[:0], pa.table({"n": pa.nulls(0)}), whole)):
        pq.write_table(table, tmp_path / f"{number}.parquet")
    source = read_source(str(tmp_path))
    assert source.original is not None
    assert source.original.equals(pa.concat_tables([whole, whole]))
    assert source.notes == ("4 files", "2 of 4 files have no rows")


def test_a_folder_of_files_without_rows_says_so(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").touch()
    with pytest.raises(LearnAlignError, match="has no rows; 3 files; 3 of 3 files have no rows"):
        read_source(str(tmp_path))
