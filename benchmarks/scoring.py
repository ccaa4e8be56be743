"""Scoring a million problems: two reads of their sketches, compared with a plain file read."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness import Figure, publish
from learnalign.selecting.order import random_keys, ranking
from learnalign.selecting.statistics.alignment import alignments
from learnalign.storage import files
from learnalign.storage.sketch_column import from_column, to_column
from learnalign.tables import gradients_schema

SIZE = 8192
SHARD, SMALL_SHARD = 10_000, 64
COUNTS = (10_000, 100_000, 1_000_000)
REPEATS = {10_000: 9, 100_000: 5, 1_000_000: 2}
SHARE = 0.1


def write(folder: Path, count: int, shard: int) -> None:
    """Write gradients tables with the same random rows in each shard, but different signs."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((shard, SIZE), np.float32) / np.sqrt(SIZE)).astype("<f2")
    schema = gradients_schema(SIZE)
    for begin in range(0, count, shard):
        signs = rng.integers(0, 2, SIZE, np.uint16) << 15
        number = min(shard, count - begin)
        columns = {field.name: pa.nulls(number, field.type) for field in schema}
        columns |= {
            "problem_id": pa.array([f"problem-{i:07d}" for i in range(begin, begin + number)]),
            "status": pa.array(["ok"] * number),
            "gradient_norm": pa.array(np.ones(number)),
            "sketch": to_column((rows[:number].view("<u2") ^ signs).view("<f2")),
        }
        table = pa.table(columns, schema=schema)
        files.write_table(folder / f"part-{begin // shard:05d}.parquet", table)


def pool(count: int) -> tuple[list[str], np.ndarray]:
    """Return ids and learnabilities for success rates from 1/8 to 7/8."""
    rates = np.random.default_rng(1).integers(1, 8, count) / 8
    return [f"problem-{i:07d}" for i in range(count)], rates * (1 - rates)


def drop_page_cache(paths: list[Path]) -> None:
    """Drop the files from the operating system's cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def plain(paths: list[Path]) -> float:
    """Read all files sequentially; return the seconds."""
    buffer = bytearray(16 * 2**20)
    begin = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - begin


def peak_bytes() -> int:
    """Return this process's peak resident memory; getrusage may return that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Clock:
    """Reads the table like a run folder, and records when each read starts."""

    def __init__(self, paths: list[Path], before: Callable[[list[Path]], None]) -> None:
        self.paths, self.before = paths, before
        self.ends: list[float] = []
        self.begins: list[float] = []

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns in batches."""
        self.ends.append(time.perf_counter())
        self.before(self.paths)
        self.begins.append(time.perf_counter())
        for path in self.paths:
            yield from files.read_batches(path, columns)

    def seconds(self) -> list[float]:
        """Return the seconds of each read, including computations."""
        ends = [*self.ends[1:], time.perf_counter()]
        return [end - begin for begin, end in zip(self.begins, ends, strict=True)]


def measure(folder: Path, count: int, cached: bool) -> dict[str, Any]:
    """Time plain reads and alignments alternately in this process, and check a small pool.

    The fastest time counts: other load on the machine can only add time.
    """
    paths = sorted(folder.iterdir())[: -(-count // SHARD) if folder.name == "large" else None]
    before: Callable[[list[Path]], None] = (lambda _: None) if cached else drop_page_cache
    ids, values = pool(count)
    plains, firsts, seconds, processor, plain_processor = [], [], [], [], []
    if cached:
        plain(paths)
    for _ in range(REPEATS[count]):
        before(paths)
        used = time.process_time()
        plains.append(plain(paths))
        plain_processor.append(time.process_time() - used)
        clock = Clock(paths, before)
        used = time.process_time()
        found = alignments(clock, ids, values)
        first, second = clock.seconds()
        firsts.append(first)
        seconds.append(second)
        processor.append(time.process_time() - used)
    begin = time.perf_counter()
    number = round(SHARE * count)
    best = ranking(values * found.alignment, random_keys(ids, 0))[:number]
    top = time.perf_counter() - begin
    peak = peak_bytes()
    row = {
        "problems": count,
        "files": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
        "cached": cached,
        "plain_read_s": [round(s, 3) for s in plains],
        "first_read_s": [round(s, 3) for s in firsts],
        "second_read_s": [round(s, 3) for s in seconds],
        "first_ratio": round(min(firsts) / min(plains), 3),
        "second_ratio": round(min(seconds) / min(plains), 3),
        "plain_processor_s": round(min(plain_processor), 3),
        "both_reads_processor_s": round(min(processor), 3),
        "top_k_s": round(top, 3),
        "peak_bytes": peak,
        "load_average": round(os.getloadavg()[0], 1),
    }
    if count == min(COUNTS):
        row |= check(paths, values, found.alignment, best)
    return row


def check(
    paths: list[Path], values: np.ndarray, alignment: np.ndarray, best: np.ndarray
) -> dict[str, Any]:
    """Compare alignments and the selection with a float64 computation in NumPy."""
    batches = [b for p in paths for b in files.read_batches(p, ["sketch"])]
    parts = [from_column(batch.column("sketch"))[0] for batch in batches]
    units = np.empty((len(values), SIZE))
    np.concatenate(parts, out=units, casting="safe")
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    mean = values @ units / len(values)
    truth = units @ mean
    chosen = np.argsort(-values * truth, kind="stable")[: len(best)]
    return {
        "largest_error": float(np.abs(truth - alignment).max() / np.abs(truth).max()),
        "chosen_otherwise": len(set(best.tolist()) - set(chosen.tolist())),
    }


def fresh(folder: Path, count: int, cached: bool) -> dict[str, Any]:
    """Measure in a separate process."""
    command = [sys.executable, __file__, "--measure", str(folder), "--count", str(count)]
    done = subprocess.run(
        command + ["--cached"] * cached, capture_output=True, text=True, check=True
    )
    row: dict[str, Any] = json.loads(done.stdout)
    sys.stdout.write(f"{row}\n")
    return row


def main() -> None:
    """Write the tables, measure each size and delete the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", type=Path)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--cached", action="store_true")
    options = parser.parse_args()
    if options.measure:
        sys.stdout.write(json.dumps(measure(options.measure, options.count, options.cached)))
        return
    begin = time.monotonic()
    figures: dict[str, Figure] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        large, small = Path(name) / "large", Path(name) / "small"
        room = shutil.disk_usage(name).free - 4e9
        counts = [count for count in COUNTS if count * (2 * SIZE + 100) < room]
        write(large, max(counts), SHARD)
        write(small, 100_000, SMALL_SHARD)
        rows += [fresh(large, count, cached=False) for count in counts]
        rows.append(fresh(small, 100_000, cached=False))
        rows.append(fresh(large, 10_000, cached=True))
    for row in rows:
        label = f"{row['problems']:,}"
        label += " in small files" if row["files"] * SHARD > row["problems"] else ""
        label += ", cached" if row["cached"] else ""
        goal = None if row["cached"] or "small" in label else 1.5
        for read in ("first", "second"):
            ratio = row[f"{read}_ratio"]
            figures[f"{read} read, {label}"] = Figure(ratio, "plain reads", "lower", goal=goal)
        both = min(row["first_read_s"]) + min(row["second_read_s"]) + row["top_k_s"]
        million = both / row["problems"] * 1e6
        figures[f"a million at the pace of {label}"] = Figure(million, "s", "lower")
        peak = row["peak_bytes"]
        figures[f"peak memory, {label}"] = Figure(peak / 1e6, "MB", "lower", goal=1000.0)
    error, other = rows[0]["largest_error"], rows[0]["chosen_otherwise"]
    figures["error of the alignments"] = Figure(error, "of the largest", "lower", goal=1e-5)
    figures["chosen otherwise in float64"] = Figure(other, "problems", "lower", goal=0)
    publish("scoring", begin, figures, rows)


if __name__ == "__main__":
    main()
