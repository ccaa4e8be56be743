"""Sketches to a column and back, in memory and on disk."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnalign.storage import files
from learnalign.storage.sketch_column import from_bytes, from_column, sketch_field, to_column
from learnalign.tables import PROBLEMS, gradients_schema


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(20, 8)).astype(np.float16)


@pytest.fixture
def valid():
    return np.arange(20) % 3 > 0


def gradients(rows, valid):
    columns = {"problem_id": [f"p{i}" for i in range(len(rows))], "sketch": to_column(rows, valid)}
    columns["resampled_counts"] = [[1, 2]] * len(rows)
    schema = gradients_schema(rows.shape[1])
    nothing = {f.name: pa.nulls(len(rows), f.type) for f in schema}
    return pa.table(nothing | columns, schema=schema)


def test_round_trip_with_nulls_slices_and_chunks(rows, valid):
    column = to_column(rows, valid)
    assert column.type == sketch_field("sketch", 8).type
    assert column.null_count == 7
    chunked = pa.chunked_array([column.slice(0, 6), column.slice(6, 0), column.slice(6)])
    for some in (column, chunked):
        found, known = from_column(some)
        assert (known == valid).all()
        assert (found[valid] == rows[valid]).all()
    found, known = from_column(column.slice(5, 9))
    assert (known == valid[5:14]).all()
    assert (found[known] == rows[5:14][known]).all()
    found, known = from_column(column.slice(0, 0))
    assert found.shape == (0, 8)
    assert known.shape == (0,)


def test_other_dtypes_and_orders_are_brought_to_float16(rows):
    wide = np.asfortranarray(rows.astype(np.float64))
    assert to_column(wide).equals(to_column(rows))
    assert from_column(to_column(wide))[0].dtype == np.float16


def test_a_column_is_looked_at_and_not_copied(rows):
    column = to_column(rows)
    found, _ = from_column(column)
    assert np.shares_memory(found, rows)


def test_rows_as_bytes_equal_the_column(rows, valid):
    values = [row.tobytes() if v else None for row, v in zip(rows, valid, strict=True)]
    table = pa.Table.from_pylist(
        [{"problem_id": str(i), "sketch": v} for i, v in enumerate(values)],
        schema=gradients_schema(8),
    )
    assert table["sketch"].combine_chunks().equals(to_column(rows, valid))
    assert (from_bytes(table["sketch"][1].as_py()) == rows[1]).all()


def test_on_disk_sketches_are_plain_and_the_rest_is_compressed(tmp_path, rows, valid, monkeypatch):
    monkeypatch.setattr(files, "_GROUP_BYTES", 6 * 2 * 16)
    table, path = gradients(rows, valid), tmp_path / "g.parquet"
    files.write_table(path, table)
    assert pq.read_table(path).equals(table)
    with pq.ParquetFile(path) as file:
        assert file.schema_arrow.field("sketch").metadata[b"dtype"] == b"<f2"
        assert file.schema_arrow.field("sketch").metadata[b"size"] == b"8"
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    assert [group.num_rows for group in groups] == [6, 6, 6, 2]
    for column in columns:
        raw = "sketch" in column.path_in_schema
        assert column.compression == ("UNCOMPRESSED" if raw else "ZSTD")
        assert ("PLAIN" in column.encodings) >= raw
        assert not (raw and any("DICTIONARY" in name for name in column.encodings))


def test_tables_without_sketches_are_compressed_down_to_their_leaves(tmp_path):
    message = [{"role": "user", "content": "1+1?"}]
    table = pa.Table.from_pylist([{"problem_id": "a", "messages": message}], schema=PROBLEMS)
    with_numbers = table.append_column(sketch_field("sketch", 2), to_column([[1.0, 2.0]]))
    for some in (table, with_numbers):
        files.write_table(tmp_path / "t.parquet", some)
        assert pq.read_table(tmp_path / "t.parquet").equals(some)
        with pq.ParquetFile(tmp_path / "t.parquet") as file:
            group = file.metadata.row_group(0)
            columns = [group.column(i) for i in range(group.num_columns)]
        kinds = {c.path_in_schema: c.compression for c in columns}
        assert kinds.pop("sketch", "UNCOMPRESSED") == "UNCOMPRESSED"
        assert "messages.list.element.role" in kinds
        assert set(kinds.values()) == {"ZSTD"}


def test_a_shard_is_read_in_bounded_batches(tmp_path):
    count, size = 3000, 8192
    rows = np.random.default_rng(0).normal(size=(50, size)).astype(np.float16)
    table = gradients(np.tile(rows, (count // 50, 1)), np.arange(count) % 2 == 0)
    files.write_table(tmp_path / "g.parquet", table)
    assert (tmp_path / "g.parquet").stat().st_size > count // 2 * size * 2
    del table
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for batch in files.read_batches(tmp_path / "g.parquet", ["problem_id", "sketch"]):
        assert batch.schema.names == ["problem_id", "sketch"]
        assert len(batch) * size * 2 <= 16 * 2**20
        halves, valid = from_column(batch.column("sketch"))
        at = np.arange(seen, seen + len(batch))
        assert (valid == (at % 2 == 0)).all()
        assert (halves[valid] == rows[at[valid] % 50]).all()
        seen += len(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == count
    assert most < 45 * 2**20
