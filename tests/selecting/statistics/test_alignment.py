"""Alignments from a stream of sketches against the double loop over pairs."""

import numpy as np
import pyarrow as pa
import pytest

from learnalign.errors import LearnAlignError
from learnalign.selecting.statistics import streaming
from learnalign.selecting.statistics.alignment import alignment_changes, alignments
from learnalign.storage import files
from learnalign.storage.sketch_column import from_bytes
from learnalign.tables import gradients_schema


def gradients(count=11, size=16):
    """Every third problem without signal, one nonfinite, every second with a resampled sketch."""
    rng = np.random.default_rng(0)
    rows, values = [], {}
    for i in range(count):
        row = {"problem_id": f"p{i}", "status": "no_signal", "gradient_norm": 0.0}
        values[f"p{i}"] = 0.0
        if i % 3:
            sketch = rng.normal(size=size).astype(np.float16)
            row |= {"status": "ok", "gradient_norm": float(i), "sketch": sketch.tobytes()}
            values[f"p{i}"] = 0.05 * (i % 5 + 1)
            if i % 2:
                again = sketch + rng.normal(size=size).astype(np.float16)
                row["resampled_sketch"] = again.tobytes()
        rows.append(row)
    rows.append({"problem_id": "sick", "status": "nonfinite", "gradient_norm": None})
    return pa.Table.from_pylist(rows, schema=gradients_schema(size)), values


def reads(table, rows=1000):
    """Read a table in memory in batches of so many rows."""
    return lambda columns: table.select(columns).to_batches(max_chunksize=rows)


def aligned(batches, values, target=None):
    return alignments(batches, list(values), np.array(list(values.values())), target)


def units(table, column="sketch"):
    found = {}
    for row in table.to_pylist():
        if row[column] is not None:
            sketch = from_bytes(row[column]).astype(float)
            found[row["problem_id"]] = sketch / np.linalg.norm(sketch)
    return found


def slow(table, values, reference, column="sketch"):
    """The definition: for each problem the mean over the reference of V_j cos(i, j)."""
    unit, own = units(table), units(table, column)
    return [
        np.mean([values[j] * (own[i] @ unit[j]) if j in unit else 0.0 for j in reference])
        if i in own and values[i]
        else 0.0
        for i in values
    ]


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("target", [None, frozenset({"p1", "p4", "p3"})])
def test_equal_the_double_loop(rows, target):
    table, values = gradients()
    result = aligned(reads(table, rows), values, target)
    truth = slow(table, values, target or values)
    assert list(result.indices) == list(values)
    assert np.abs(truth).max() > 1e-3
    np.testing.assert_allclose(result.alignment, truth, rtol=0, atol=1e-7)
    assert result.gradient_norm[result.indices["p4"]] == 4.0


def test_a_signal_without_learnability_and_one_without_a_sketch():
    table, values = gradients()
    values |= {"p1": 0.0, "sick": 0.2, "not in the table": 0.2}
    result = aligned(reads(table), values)
    truth = slow(table, values, values)
    assert truth[1] == truth[-1] == 0.0
    np.testing.assert_allclose(result.alignment, truth, rtol=0, atol=1e-7)
    assert np.isnan(result.gradient_norm[-2:]).all()


def test_problems_outside_the_pool_are_passed_over():
    table, values = gradients()
    within = {name: value for name, value in values.items() if name not in ("p2", "p7")}
    gone = pa.array(["p2", "p7"])
    rest = table.filter(pa.compute.invert(pa.compute.is_in(table["problem_id"], gone)))
    assert len(rest) == len(table) - 2
    a, b = aligned(reads(table, 3), within), aligned(reads(rest, 3), within)
    assert (a.alignment == b.alignment).all()
    assert (a.mean == b.mean).all()


def test_changes_under_resampling():
    table, values = gradients(40)
    known = aligned(reads(table, 7), values)
    changes = alignment_changes(reads(table, 7), known)
    before = slow(table, values, values)
    after = slow(table, values, values, "resampled_sketch")
    names = units(table, "resampled_sketch")
    expected = [b - a for i, a, b in zip(values, before, after, strict=True) if i in names]
    assert len(expected) > 10
    np.testing.assert_allclose(changes, expected, rtol=0, atol=1e-7)


def test_no_sketch_at_all():
    table, values = gradients()
    empty = table.filter(pa.compute.is_null(table["sketch"]))
    result = aligned(reads(empty), values)
    assert not result.alignment.any()
    assert result.mean.shape == (0,)
    assert alignment_changes(reads(empty), result).shape == (0,)


@pytest.mark.parametrize("sick", [np.inf, -np.inf, np.nan])
def test_a_sketch_that_is_not_finite_is_named(sick):
    table, values = gradients(3)
    row = table.to_pylist()[1]
    row["sketch"] = np.array([1.0] * 15 + [sick], np.float16).tobytes()
    table = pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)])
    with pytest.raises(LearnAlignError, match="sketch of problem 'p1' contains Inf or NaN"):
        aligned(reads(table), values)


def test_large_and_tiny_sketches_keep_their_direction():
    table, values = gradients()
    rows = table.to_pylist()
    for row, scale in zip(rows, [1, 6e3, 2e-5] * 4, strict=True):
        if row["sketch"] is not None:
            row["sketch"] = (from_bytes(row["sketch"]) * np.float16(scale)).tobytes()
    table = pa.Table.from_pylist(rows, schema=table.schema)
    result = aligned(reads(table), values)
    np.testing.assert_allclose(result.alignment, slow(table, values, values), rtol=0, atol=1e-7)


def test_same_bits_for_every_size_of_shard_row_group_and_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_VALUES", 5 * 64)
    table, values = gradients(101, 64)
    whole = aligned(reads(table), values)
    for shard, group, batch in [(7, 2, 1), (64, 64, 10), (1000, 9, 4), (1000, 1000, 1000)]:
        monkeypatch.setattr(files, "_GROUP_BYTES", group * 2 * 128)
        monkeypatch.setattr(files, "_BATCH_BYTES", batch * 256)
        paths = []
        for begin in range(0, len(table), shard):
            paths.append(tmp_path / f"{shard}-{group}" / f"{begin:04d}.parquet")
            files.write_table(paths[-1], table.slice(begin, shard))
        result = aligned(
            lambda columns, paths=paths: (b for p in paths for b in files.read_batches(p, columns)),
            values,
        )
        assert (result.mean == whole.mean).all()
        assert (result.alignment == whole.alignment).all()
