"""Timing on a device, and a part's record: rows as JSON lines, each written at once.

Beside its figures a record has what the device reached in the same process: the rate of a plain
matrix product and that of a copy.
"""

import gc
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Options:
    """What a part is to do."""

    device: str
    tiny: bool
    shapes: tuple[str, ...]
    out: Path
    """Folder of the results."""
    end: float
    """When the part is stopped, by `time.monotonic`."""

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()


@dataclass(frozen=True)
class Timing:
    """Seconds of some repetitions."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half of the difference between the slowest and the fastest."""
        return (max(self.seconds) - min(self.seconds)) / 2


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def once(device: str, run: Callable[[], Any]) -> float:
    """Time one run in seconds: by CUDA events on a GPU, by the clock elsewhere."""
    if device != "cuda":
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1e3


def timed(
    device: str,
    run: Callable[[], Any],
    *,
    repetitions: int = 5,
    warm: Callable[[], Any] | None = None,
    most: float = float("inf"),
) -> Timing:
    """Time some repetitions after a warm-up.

    Args:
        device: Of what runs.
        run: What is timed.
        repetitions: How often, at most.
        warm: The warm-up; one run if None.
        most: Seconds after which no further repetition begins; the first always runs.
    """
    (warm or run)()
    begin = time.monotonic()
    found = [once(device, run)]
    while len(found) < repetitions and time.monotonic() - begin + found[-1] < most:
        found.append(once(device, run))
    return Timing(tuple(found))


def matrix_rate(device: str, tiny: bool) -> Timing:
    """Time a square bfloat16 matrix product; see `matrix_operations`."""
    size = matrix_size(device, tiny)
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return timed(device, lambda: one @ other)


def matrix_size(device: str, tiny: bool) -> int:
    """Return how many rows and columns the matrices of `matrix_rate` have."""
    return 256 if tiny or device != "cuda" else 8192


def copy_rate(device: str, tiny: bool) -> tuple[Timing, int]:
    """Time a copy on the device; return also its bytes, read and written."""
    count = 1 << (22 if tiny or device != "cuda" else 30)
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return timed(device, lambda: target.copy_(source)), 2 * count


def is_memory(error: BaseException) -> bool:
    """Return whether an error is a failed allocation."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError)


def release() -> None:
    """Give unused memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: str) -> int | None:
    """Return the peak of the allocated memory since `release`; None where it is not counted."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


class Record:
    """Writes a part's rows.

    Args:
        path: JSON lines, appended to.
        options: Of the part.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.path, self.options = path, options
        self.last: dict[str, Any] = {}
        device, tiny = options.device, options.tiny
        matrix, (copy, count) = matrix_rate(device, tiny), copy_rate(device, tiny)
        self.rates: dict[str, float] = {
            "matrix_tflops": 2 * matrix_size(device, tiny) ** 3 / matrix.median / 1e12,
            "copy_gb_per_s": count / copy.median / 1e9,
        }
        release()

    def add(self, name: str, text: str | None = None, **values: Any) -> None:
        """Write a row.

        Args:
            name: Of the row.
            text: Its line of the final table; None to leave it out.
            **values: Its figures; with ``value``, ``unit`` and ``better`` it is a figure of the
                part.
        """
        row = self.last = {"name": name, "text": text, **values, **self.rates}
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        if text is not None:
            print(text, flush=True)

    def attempt(self, name: str, measure: Callable[[], None]) -> bool:
        """Run one measurement; one that fails leaves a row with its error."""
        try:
            measure()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            why = "out of memory" if is_memory(error) else f"{type(error).__name__}: {error}"
            self.add(name, f"{name}: failed: {' '.join(why.split())[:70]}", error=why)
            return False
        finally:
            release()
        return True

    def skip(self, name: str, why: str) -> None:
        """Write a row for what is not measured."""
        self.add(name, f"{name}: not measured: {why}", skipped=why)
