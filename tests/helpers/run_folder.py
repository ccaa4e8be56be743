"""Writes synthetic runs, audits and trainings as real folders; gradients point by source."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from helpers.synthetic_run import SOURCES
from learnalign.config import Config
from learnalign.config.load import write_config
from learnalign.reporting.report import ReportData
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.storage.sketch_column import to_column
from learnalign.tables import FINDINGS, HISTORY, gradients_schema
from learnalign.workflows.audit import TABLE


def write_run(
    path: Path,
    data: ReportData,
    *,
    sketch_size: int = 64,
    shards: int = 2,
    seed: int = 0,
    sources: ReportData | None = None,
) -> Path:
    """Write the tables of a run; a problem with a signal gets a sketch near that of its source.

    ``sources`` has the sources' own names, where ``data`` has changed them.
    """
    folder = RunFolder(path)
    ids = data.problems["problem_id"].to_pylist()
    parts = np.array_split(np.arange(len(ids)), shards)
    gradients = _gradients(data, sources or data, sketch_size, seed)
    with folder.locked():
        for stage, table in {
            "problems": data.problems,
            "rollouts": data.rollouts,
            "verdicts": data.verdicts,
            "gradients": gradients,
        }.items():
            folder.begin(stage, {"model.weights": "0"})
            repeats = table.num_rows // len(ids)
            for number, part in enumerate(parts):
                begin = int(part[0]) * repeats
                rows = table.slice(begin, len(part) * repeats)
                folder.write_shard(stage, number, rows, seconds=0.1)
            folder.finish(stage)
        folder.write_table("scores.parquet", data.scores)
        config = Config.model_validate(
            data.config | {"run": data.config["run"] | {"out": str(path)}}
        )
        write_config(path / "config.yaml", config)
        folder.set_summary(data.summary | {"method": "learnalign"})
    return path


def write_audit(run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write findings into a run, as an audit does."""
    folder = RunFolder(run)
    with folder.locked():
        folder.write_table(TABLE, pa.Table.from_pylist(rows, FINDINGS))
        folder.save()


def write_training(path: Path, rewards: Mapping[str, Mapping[int, Sequence[float]]]) -> Path:
    """Write the history of a training: the rewards of each problem at the steps that met it."""
    rows = [
        {"problem_id": name, "step": step, "sample": sample, "reward": reward}
        for name, steps in rewards.items()
        for step, group in steps.items()
        for sample, reward in enumerate(group)
    ]
    folder = RunFolder(path, TRAINING_TABLES)
    with folder.locked():
        folder.begin("history", {})
        folder.write_shard("history", 0, pa.Table.from_pylist(rows, HISTORY), seconds=0.1)
        folder.finish("history")
    return path


def _gradients(data: ReportData, named: ReportData, size: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(SOURCES), size))
    directions[1] = -0.7 * directions[0] + directions[1]
    sources = [SOURCES.index(name) for name in named.problems["source"].to_pylist()]
    rows = directions[sources] + 0.8 * rng.normal(size=(len(sources), size))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    learnable = {row["problem_id"]: row["learnability"] for row in data.scores.to_pylist()}
    ids = data.problems["problem_id"].to_pylist()
    signal = np.array([(learnable.get(name) or 0) > 0 for name in ids])
    schema = gradients_schema(size)
    columns = {field.name: pa.nulls(len(sources), field.type) for field in schema}
    columns |= {
        "problem_id": data.problems["problem_id"],
        "status": pa.array(np.where(signal, "ok", "no_signal").tolist()),
        "gradient_norm": pa.array(np.where(signal, 1.0, 0.0)),
        "sketch": to_column(rows.astype("<f2"), signal),
    }
    return pa.table(columns, schema=schema)
