"""Making the page of `learnalign explore` for 100,000 problems: processor seconds of its parts.

The run is real tables: 1,000 made-up problems with 8 rollouts each, repeated under other names,
and a random sketch for each that has a signal.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness import ROOT, Figure, publish
from learnalign.config import Config
from learnalign.config.load import write_config
from learnalign.runs.folder import RunFolder
from learnalign.storage.sketch_column import to_column
from learnalign.tables import gradients_schema
from learnalign.terminal.progress import Progress
from learnalign.workflows import explored_pool
from learnalign.workflows.explore import explore

sys.path.insert(0, str(ROOT / "tests"))

from helpers.synthetic_run import synthetic_run

#: Problems, how many of them differ, and values of a sketch.
COUNT, DISTINCT, WIDTH = 100_000, 1_000, 2_048


def write_run(path: Path) -> None:
    """Write the run's tables, one shard for each copy of the problems."""
    data = synthetic_run(num_problems=DISTINCT, budget=DISTINCT // 10)
    folder = RunFolder(path)
    copies = range(COUNT // DISTINCT)
    stages = {"problems": data.problems, "rollouts": data.rollouts, "verdicts": data.verdicts}
    with folder.locked():
        for stage, table in stages.items():
            folder.begin(stage, {"model.weights": "0"})
            for copy in copies:
                folder.write_shard(stage, copy, renamed(table, copy), seconds=0.1)
            folder.finish(stage)
        folder.begin("gradients", {"model.weights": "0"})
        for copy in copies:
            table = gradients(data.problems["problem_id"], data.scores, copy)
            folder.write_shard("gradients", copy, renamed(table, copy), seconds=0.1)
        folder.finish("gradients")
        scores = pa.concat_tables(renamed(data.scores, copy) for copy in copies)
        order = pc.sort_indices(scores, [("score", "descending"), ("problem_id", "ascending")])
        scores = scores.take(order)
        ranks = pa.array(np.arange(1, COUNT + 1), scores.schema.field("rank").type)
        place = scores.schema.get_field_index("rank")
        folder.write_table("scores.parquet", scores.set_column(place, "rank", ranks))
        config = data.config | {"run": data.config["run"] | {"out": str(path)}}
        write_config(path / "config.yaml", Config.model_validate(config))
        folder.set_summary(data.summary | {"method": "learnalign"})


def renamed(table: pa.Table, copy: int) -> pa.Table:
    """Give each problem of a copy its own name."""
    names = pc.binary_join_element_wise(table["problem_id"], f"-{copy:03d}", "")
    return table.set_column(table.schema.get_field_index("problem_id"), "problem_id", names)


def gradients(ids: pa.ChunkedArray, scores: pa.Table, copy: int) -> pa.Table:
    """Make a copy's sketches; those of a problem's copies point nearly the same way."""
    learnable = scores.filter(pc.greater(scores["learnability"], 0.0))["problem_id"]
    signal = pc.is_in(ids, learnable.combine_chunks()).to_numpy()
    rows = np.random.default_rng(0).normal(size=(len(ids), WIDTH))
    rows = rows + np.random.default_rng(copy + 1).normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    schema = gradients_schema(WIDTH)
    columns = {field.name: pa.nulls(len(ids), field.type) for field in schema}
    columns |= {
        "problem_id": ids,
        "status": pa.array(np.where(signal, "ok", "no_signal").tolist()),
        "gradient_norm": pa.array(np.where(signal, 1.0, 0.0)),
        "sketch": to_column(rows.astype("<f2"), signal),
    }
    return pa.table(columns, schema=schema)


@contextmanager
def timed(names: list[str], seconds: dict[str, float]) -> Iterator[None]:
    """Add up the processor seconds of the pool's parts."""
    originals = {name: getattr(explored_pool, name) for name in names}

    def measured(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def called(*values: Any, **named: Any) -> Any:
            begin = time.process_time()
            result = run(*values, **named)
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - begin
            return result

        return called

    for name, run in originals.items():
        setattr(explored_pool, name, measured(name, run))
    try:
        yield
    finally:
        for name, run in originals.items():
            setattr(explored_pool, name, run)


def main() -> None:
    """Make the run and its page once."""
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        write_run(run)
        start, processor = time.monotonic(), time.process_time()
        with timed(["maps", "neighbours", "rankings"], seconds):
            done = explore([run], served=True, progress=Progress("none"))
        seconds |= {"all": time.process_time() - processor, "elapsed": time.monotonic() - start}
        size = sum(path.stat().st_size for path in done.path.rglob("*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "processor, the whole page": Figure(seconds["all"], "s", "lower", goal=300.0),
        "processor, maps and groups": Figure(seconds["maps"], "s", "lower"),
        "processor, neighbours": Figure(seconds["neighbours"], "s", "lower"),
        "largest memory": Figure(peak / 2**30, "GiB", "lower"),
    }
    row = {"problems": COUNT, "sketch_size": WIDTH, "bytes": size, "peak_bytes": peak, **seconds}
    publish("exploring_making", begin, figures, [row])


if __name__ == "__main__":
    main()
