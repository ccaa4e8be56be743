"""Every usual form of a file gives the rows it means; what has two meanings is refused."""

import bz2
import gzip
import json
import lzma
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from learnalign.errors import LearnAlignError
from learnalign.problems.sources import read_source

ROWS = [
    {"question": "Wie groß ist 1 + 1?", "answer": "2"},
    {"question": "3, 4; und 5?", "answer": "12"},
    {"question": "a\nb", "answer": "7"},
]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
FRAME = pd.DataFrame(ROWS)


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd}


def _read(path: Path, content: str | bytes, **options: Any) -> Any:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_source(str(path), **options)


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
def test_compressed(tmp_path: Path, kind: str, name: str) -> None:
    text = FRAME.to_csv(index=False) if name == "x.csv" else LINES
    source = _read(tmp_path / f"{name}.{kind}", COMPRESS[kind](text.encode()))
    assert (source.rows, source.name) == (ROWS, "x")
    with pytest.raises(LearnAlignError, match="is broken"):
        _read(tmp_path / f"{name}.{kind}", b"plain text")
    with pytest.raises(LearnAlignError, match="is broken"):
        _read(tmp_path / f"{name}.{kind}", COMPRESS[kind](text.encode())[:-9])


@pytest.mark.parametrize("kind", COMPRESS)
def test_damage_anywhere_in_a_compressed_file_has_a_name(tmp_path: Path, kind: str) -> None:
    whole = COMPRESS[kind](LINES.encode())
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with suppress(LearnAlignError):  # any other error fails the test
            _read(tmp_path / f"x.jsonl.{kind}", bytes(damaged))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    source = _read(tmp_path / "x.jsonl", mark + LINES.encode(encoding))
    assert source.rows == ROWS
    assert [note for note in source.notes if note.startswith("UTF")] == (
        [] if encoding == "utf-8-sig" else [encoding.upper()[:6]]
    )


@pytest.mark.parametrize(("encoding", "named"), [("utf-16-le", "UTF-16"), ("latin-1", "LATIN1")])
def test_text_without_a_mark_is_named(tmp_path: Path, encoding: str, named: str) -> None:
    text = "ä" + LINES if encoding == "utf-16-le" else LINES
    with pytest.raises(
        LearnAlignError, match=f"(?s)not valid UTF-8.*may be {named}.*iconv -f {named}"
    ):
        _read(tmp_path / "x.jsonl", text.encode(encoding))


@pytest.mark.parametrize("suffix", ["json", "jsonl", "ndjson"])
@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES + "\n\n",
        LINES.replace("\n", "\r\n"),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps(ROWS[:1]) + "\n" + json.dumps(ROWS[1:]),
    ],
    ids=["lines", "blank lines", "CRLF", "list", "printed list", "printed objects", "lists"],
)
def test_json_in_either_kind_of_file(tmp_path: Path, text: str, suffix: str) -> None:
    assert _read(tmp_path / f"x.{suffix}", text).rows == ROWS


@pytest.mark.parametrize("orient", ["records", "list", "dict", "split", "index"])
def test_what_pandas_writes(tmp_path: Path, orient: Any) -> None:
    tree = FRAME.to_dict(orient=orient)
    source = _read(tmp_path / "x.json", json.dumps(tree))
    assert source.rows == ROWS
    assert bool(source.notes) == (orient != "records")
    assert _read(tmp_path / "y.jsonl", FRAME.to_json(orient="records", lines=True)).rows == ROWS


def test_one_object_is_one_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "1+1?"}], "answer": "2"}
    for name in ("x.json", "x.jsonl"):
        assert _read(tmp_path / name, json.dumps(row)).rows == [row]


def test_the_viewers_rows(tmp_path: Path) -> None:
    def page(cut: list[str]) -> str:
        rows = [{"row_idx": i, "row": row, "truncated_cells": cut} for i, row in enumerate(ROWS)]
        return json.dumps({"features": [{"name": "question"}], "rows": rows, "num_rows_total": 3})

    with pytest.raises(LearnAlignError, match="contains several lists of objects"):
        _read(tmp_path / "x.json", json.dumps({"a": ROWS, "b": ROWS}))
    assert _read(tmp_path / "x.json", page([])).rows == ROWS
    with pytest.raises(LearnAlignError, match=r"row 0: the viewer truncated \['question'\]"):
        _read(tmp_path / "x.json", page(["question"]))


def test_splits_in_one_file(tmp_path: Path) -> None:
    text = json.dumps({"train": ROWS[:2], "test": ROWS[2:], "version": 3})
    assert _read(tmp_path / "x.json", text).rows == ROWS[:2]
    source = _read(tmp_path / "x.json", text, split="test")
    assert source.rows == ROWS[2:]
    assert source.notes == ("split test of train, test",)
    with pytest.raises(LearnAlignError, match=r"(?s)no split 'validation'.*one of train, test"):
        _read(tmp_path / "x.json", text, split="validation")
    with pytest.raises(LearnAlignError, match=r"(?s)no split 'train'.*one of test"):
        _read(tmp_path / "x.json", json.dumps({"test": ROWS}))


@pytest.mark.parametrize(("name", "separator"), [("x.csv", ";"), ("x.csv", "\t"), ("x.tsv", "\t")])
def test_other_separators(tmp_path: Path, name: str, separator: str) -> None:
    source = _read(tmp_path / name, FRAME.to_csv(index=False, sep=separator))
    assert source.rows == ROWS
    assert source.notes == (f"separated by {'semicolons' if separator == ';' else 'tabs'}",)


def test_fields_of_any_length(tmp_path: Path) -> None:
    rows = [{"question": "x" * 300_000, "answer": "1"}]
    assert _read(tmp_path / "x.csv", pd.DataFrame(rows).to_csv(index=False)).rows == rows


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.jsonl", '{"a": \n{"a": 1}\n', "line 1: broken JSON"),
        ("x.jsonl", LINES + '\n{"question": "cut', "line 4: broken JSON"),
        ("x.json", '{"a": 1}\n{"a": 2}\nno', "line 3: broken JSON"),
        ("x.json", "[" * 100_000, "nested too deeply"),
        ("x.jsonl", '{"a": ' + "9" * 5000 + "}", "broken JSON"),
        ("x.json", '[{"a": 1}, 2]', "entry 2: got a int"),
        ("x.json", '{"a": {"x": 1}, "b": {"y": 2}}', "an object of objects"),
        ("x.csv", "a,a\n1,2\n", "two columns have the same name"),
    ],
)
def test_what_cannot_be_read_names_its_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(LearnAlignError, match=message):
        _read(tmp_path / name, text)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_compressed_file_of_another_name_is_said_to_be_one(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        LearnAlignError, match=rf"(?s)contains {kind[:2]}.*rename it to end in .{kind}"
    ):
        _read(tmp_path / "x.jsonl", COMPRESS[kind](LINES.encode()))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_named(tmp_path: Path, encoding: str) -> None:
    for name in ("x.jsonl", "x.csv"):
        with pytest.raises(LearnAlignError, match=r"(?s)line 1: .*may be UTF-16.*iconv -f UTF-16"):
            _read(tmp_path / name, '{"question": "1+1?"}\n'.encode(encoding))


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_line_that_does_not_fit_is_named_whatever_separates(
    tmp_path: Path, separator: str
) -> None:
    lines = [separator.join(fields) for fields in (("question", "answer"), ("a", "1"), "abc")]
    with pytest.raises(LearnAlignError, match="line 3: expected 2 fields"):
        _read(tmp_path / "x.csv", "\n".join(lines))


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    columns = {"question": ["a", "b"], "answer": ["1"]}
    with pytest.raises(LearnAlignError, match="different lengths: question 2, answer 1"):
        _read(tmp_path / "x.json", json.dumps(columns))
