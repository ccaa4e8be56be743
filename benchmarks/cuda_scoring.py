"""Part 5: scoring a million problems, with torch on the device against numpy as it is used now."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import torch

from cuda_clock import Options, Record, timed
from learnalign.selecting.statistics.alignment import alignments
from learnalign.storage.sketch_column import to_column

SIZE = 8192
COUNT, HOST_COUNT, TINY = 1_000_000, 100_000, 2_000
BLOCK = 16_384


def measure(record: Record, options: Options) -> None:
    """Score the same sketches both ways."""
    record.attempt("scoring", partial(scoring, record, options))


def sketches(count: int, size: int, device: str) -> torch.Tensor:
    """Make (count, size) float16 rows of about norm 1, each with a bit of a common direction."""
    numbers = torch.Generator(device).manual_seed(0)
    common = torch.randn(size, generator=numbers, device=device)
    rows = torch.empty(count, size, dtype=torch.float16, device=device)
    for start in range(0, count, BLOCK):
        some = rows[start : start + BLOCK]
        noise = torch.randn(some.shape, generator=numbers, device=device)
        some.copy_((noise + 0.3 * common) / size**0.5)
    return rows


def on_device(rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Compute each row's alignment with the weighted mean of the unit rows, in float32.

    Args:
        rows: (n, d) float16, on the device or in the host's memory.
        weights: (n,) float32 on the device.

    Returns:
        (n,) float32 on the device.
    """
    count, size = rows.shape
    total = torch.zeros(size, dtype=torch.float64, device=weights.device)
    norms = torch.empty(count, device=weights.device)
    for start in range(0, count, BLOCK):
        some = rows[start : start + BLOCK].to(weights.device, non_blocking=True).float()
        norms[start : start + BLOCK] = norm = some.norm(dim=1)
        total += ((weights[start : start + BLOCK] / norm) @ some).double()
    mean = (total / count).float()
    found = torch.empty_like(norms)
    for start in range(0, count, BLOCK):
        some = rows[start : start + BLOCK].to(weights.device, non_blocking=True).float()
        found[start : start + BLOCK] = (some @ mean) / norms[start : start + BLOCK]
    return found


def fitting(options: Options) -> int:
    """Return how many rows there is room for: half of the free memory, here and there."""
    if options.tiny:
        return TINY
    free = [_available()]
    if options.device == "cuda":
        free.append(torch.cuda.mem_get_info()[0])
    return int(min(COUNT, *(value // 2 // (2 * SIZE) for value in free)))


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = [line for line in file if line.startswith("MemAvailable:")]
    return int(lines[0].split()[1]) << 10


def scoring(record: Record, options: Options) -> None:
    """Time torch on all rows, from the device's memory and from the host's, and numpy on a part."""
    count = fitting(options)
    size = 512 if options.tiny else SIZE
    rows = sketches(count, size, options.device)
    rng = np.random.default_rng(1)
    rates = rng.integers(1, 8, count) / 8
    values = rates * (1 - rates)
    weights = torch.from_numpy(values).to(options.device, torch.float32)
    inside = timed(options.device, lambda: on_device(rows, weights))
    some = min(count, HOST_COUNT)
    host = rows[:some].cpu()
    if options.device == "cuda":
        host = host.pin_memory()
    across = timed(options.device, lambda: on_device(host, weights[:some]))
    ids = [str(place) for place in range(some)]
    column = to_column(host.numpy())
    norms = pa.array(np.ones(some))

    def batches(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for start in range(0, some, 1024):
            parts = {
                "problem_id": pa.array(ids[start : start + 1024]),
                "sketch": column.slice(start, 1024),
                "gradient_norm": norms.slice(start, 1024),
            }
            yield pa.RecordBatch.from_pydict({name: parts[name] for name in names})

    plain = timed("cpu", lambda: alignments(batches, ids, values[:some]), most=options.left / 2)
    truth = alignments(batches, ids, values[:some]).alignment
    ours = on_device(host, weights[:some]).double().cpu().numpy()
    error = float(np.abs(ours - truth).max() / np.abs(truth).max())
    each = {
        "device": inside.median / count,
        "host": across.median / some,
        "numpy": plain.median / some,
    }
    speeds = {name: 1.0 / value for name, value in each.items()}
    record.add(
        "scoring on the device",
        f"{count:,} rows: {inside.median:.3f} s on the device; a million: from the host's memory "
        f"{each['host'] * 1e6:.1f} s",
        value=inside.median * 1e6 / count,
        unit="s a million rows",
        better="lower",
        spread=inside.spread * 1e6 / count,
        count=count,
        rows_per_second=speeds,
    )
    record.add(
        "scoring with numpy",
        f"numpy: {each['numpy'] * 1e6:.1f} s a million ({some:,} measured), "
        f"x{each['numpy'] / each['host']:.1f} of torch from the host, at most {error:.1e} apart",
        value=each["numpy"] * 1e6,
        unit="s a million rows",
        better="lower",
        spread=plain.spread * 1e6 / some,
        error=error,
    )
