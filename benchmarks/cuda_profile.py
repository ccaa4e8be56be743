"""Where a device's time goes: kernels, launches, and what the host waited for."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from cuda_clock import synchronize

#: What the host calls to start work, and what makes it wait.
_LAUNCH = re.compile(r"cu(da)?(Launch|GraphLaunch)")
_WAIT = re.compile(r"cuda(Stream|Device|Event)Synchronize")


@dataclass(frozen=True)
class Profile:
    """One profiled run."""

    wall_s: float
    busy_s: float | None
    """Seconds in which the device did something; None where that is not known, as on a CPU."""
    launches: int
    """Kernels and graphs that the host started; on a CPU, operators."""
    waits: int
    """Calls that made the host wait for the device, the last one included."""
    kernels: dict[str, float]
    """Share of all kernels' time, by shortened name, largest first."""

    @property
    def idle(self) -> float | None:
        """Share of the wall-clock in which the device did nothing."""
        return None if self.busy_s is None else max(0.0, 1.0 - self.busy_s / self.wall_s)

    def top(self, count: int = 5) -> str:
        """Name the kernels that take most of the time, with their shares."""
        first = list(self.kernels.items())[:count]
        return ", ".join(f"{name} {share:.0%}" for name, share in first)


def profiled(device: str, run: Callable[[], Any]) -> Profile:
    """Profile one run."""
    kind = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    synchronize(device)
    with profile(activities=[kind]) as found:
        begin = time.perf_counter()
        run()
        synchronize(device)
        wall = time.perf_counter() - begin
    if device != "cuda":
        return _on_cpu(found, wall)
    launches, waits = 0, 0
    times: Counter[str] = Counter()
    spans = []
    # The raw events: torch's own tables of them take seconds for a hundred thousand.
    for event in found.profiler.kineto_results.events():  # type: ignore[union-attr]
        name = event.name()
        if event.device_type() == DeviceType.CUDA:
            times[shorten(name)] += event.duration_ns()
            spans.append((event.start_ns(), event.start_ns() + event.duration_ns()))
        elif _LAUNCH.match(name):
            launches += 1
        elif _WAIT.match(name):
            waits += 1
    busy = covered(spans) / 1e9 if spans else None  # none where the driver hides its counters
    return Profile(wall, busy, launches, waits, shares(times))


def _on_cpu(found: Any, wall: float) -> Profile:
    times: Counter[str] = Counter()
    count = 0
    for row in found.key_averages():
        times[shorten(row.key)] += row.self_cpu_time_total
        count += row.count
    return Profile(wall, None, count, 0, shares(times))


def covered(spans: list[tuple[int, int]]) -> int:
    """Return the length of the union of intervals: streams may overlap.

    Example:
        >>> covered([(0, 4), (2, 6), (10, 11)])
        7
    """
    total, end = 0, 0
    for first, last in sorted(spans):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total


def shares(times: Counter[str]) -> dict[str, float]:
    """Turn times into shares of their sum, largest first."""
    total = sum(times.values()) or 1
    return {name: value / total for name, value in times.most_common()}


def shorten(name: str) -> str:
    """Shorten a kernel's name: no template arguments, no namespaces.

    Example:
        >>> shorten("void at::native::(anonymous namespace)::indexFuncLargeIndex<float, long>(int)")
        'indexFuncLargeIndex'
        >>> shorten("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64")
        'sm90_xmma_gemm_bf16bf16_bf16'
        >>> shorten("aten::mm")
        'mm'
    """
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    return re.split(r"[<(]", name, maxsplit=1)[0].rpartition("::")[2][:28].strip() or name[:28]


def synchronisations(run: Callable[[], Any]) -> list[str]:
    """Run on CUDA, and return where the host waited for the device: ``file:line``, in order."""
    import warnings
    from pathlib import Path

    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [
        f"{Path(warning.filename).name}:{warning.lineno}"
        for warning in caught
        if "called a synchronizing" in str(warning.message)
    ]
