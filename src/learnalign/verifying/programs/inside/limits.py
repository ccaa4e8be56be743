"""Limits of a process in a sandbox, set before it loads what it is not trusted with."""

import resource

_MEBIBYTE = 1024 * 1024
#: Bytes of a file, open files, processes and threads.
_FILE_MB, _FILES, _PROCESSES = 16, 128, 64


def limit(memory_mb: int, *, processes: bool = True) -> None:
    """Limit memory, files and processes of this process and its children, for good.

    Args:
        memory_mb: Address space of each process.
        processes: Also limit the number of processes of this user; only in a sandbox.
    """
    _set(resource.RLIMIT_AS, memory_mb * _MEBIBYTE)
    _set(resource.RLIMIT_FSIZE, _FILE_MB * _MEBIBYTE)
    _set(resource.RLIMIT_NOFILE, _FILES)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_MEMLOCK, 0)
    if processes:
        _set(resource.RLIMIT_NPROC, _PROCESSES)


def limit_cpu(seconds: float) -> None:
    """Kill this process once it has used so much processor time."""
    whole = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))


def _set(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
