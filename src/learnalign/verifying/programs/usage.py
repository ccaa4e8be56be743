"""Processor time and memory of a process with all its descendants, from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a tree of processes uses."""

    cpu_s: float = 0.0
    memory_mb: float = 0.0
    processes: int = 0


def usage(pid: int) -> Usage:
    """Return what a process and its descendants use; zeros without /proc, or if it has ended.

    Example:
        >>> import os
        >>> here = usage(os.getpid())
        >>> here.processes == 0 or here.memory_mb > 1
        True
    """
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu = memory = count = 0.0
    left = [pid]
    while left:
        process = _PROC / str(left.pop())
        with suppress(OSError, ValueError, IndexError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / ticks
            memory += int(fields[21]) * page / 2**20
            count += 1
            for thread in (process / "task").iterdir():
                left += [int(child) for child in (thread / "children").read_text().split()]
    return Usage(cpu, memory, int(count))
