"""Alignments from shards against the double loop over pairs."""

import numpy as np
import pyarrow as pa
import pytest

from learnalign.selecting.alignment import alignments
from learnalign.tables import gradients_schema


def gradients(count=11, size=16):
    rng = np.random.default_rng(0)
    rows, values = [], {}
    for i in range(count):
        row = {"problem_id": f"p{i}", "status": "no_signal", "gradient_norm": 0.0}
        values[f"p{i}"] = 0.0
        if i % 3:
            sketch = rng.normal(size=size).astype(np.float16)
            row |= {"status": "ok", "gradient_norm": float(i), "sketch": sketch}
            values[f"p{i}"] = 0.05 * (i % 5 + 1)
        rows.append(row)
    rows.append({"problem_id": "sick", "status": "nonfinite", "gradient_norm": None})
    return pa.Table.from_pylist(rows, schema=gradients_schema(size)), values


def slow(table, values, reference):
    units = {
        row["problem_id"]: np.array(row["sketch"], float) / np.linalg.norm(row["sketch"])
        for row in table.to_pylist()
        if row["sketch"] is not None
    }
    return {
        i: np.mean([values[j] * (units[i] @ units[j]) if j in units else 0.0 for j in reference])
        if i in units
        else 0.0
        for i in values
    }


@pytest.mark.parametrize("shard", [1, 4, 100])
@pytest.mark.parametrize("target", [None, frozenset({"p1", "p4", "p3"})])
def test_equal_the_double_loop(shard, target):
    table, values = gradients()
    shards = [table.slice(i, shard) for i in range(0, len(table), shard)]
    result = alignments(lambda: shards, values, target)
    truth = slow(table, values, target or values)
    assert result.alignment.keys() == truth.keys()
    for name, value in truth.items():
        assert result.alignment[name] == pytest.approx(value, abs=1e-12)
    assert result.status["sick"] == "nonfinite"
    assert result.gradient_norm["p4"] == 4.0
