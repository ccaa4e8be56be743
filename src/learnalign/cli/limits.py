"""Explain errors from system limits: which limit was reached, and which options need less."""

import errno
import re
from pathlib import Path

from learnalign.errors import LearnAlignError

#: How libraries report a failed memory allocation, whatever the error type.
_NO_MEMORY = re.compile(
    r"can(not|'t) allocate memory|failed to map segment|out of memory|bad_alloc|unable to mmap"
    r"|os error 12\b|unable to allocate|could not create a primitive",
    re.IGNORECASE,
)
_NO_THREAD = re.compile(r"can't start new thread|pthread_create|os error 11\b", re.IGNORECASE)
_NO_FILE = re.compile(r"too many open files|os error 24\b", re.IGNORECASE)

_MEMORY, _FILES, _PROCESSES = "memory", "open files", "processes and threads"
_DEVICE = "device memory"
_NUMBERS = {
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _PROCESSES,
}
_DO = {
    _DEVICE: "use less: --set rollouts.token_budget=2000 --set gradients.token_budget=2000",
    _MEMORY: "raise the limit, or use less: --set rollouts.token_budget=2000 --set "
    "gradients.token_budget=2000, --set verifier.workers=2, a smaller --shard-size",
    _FILES: "raise the limit (ulimit -n 4096), or use fewer: --set verifier.workers=2",
    _PROCESSES: "raise the limit (ulimit -u), or use fewer: --set verifier.workers=2, "
    "OMP_NUM_THREADS=1",
}


def limit_reached(error: BaseException) -> LearnAlignError | None:
    """Explain the system limit that an error or one of its causes comes from; None if none.

    Example:
        >>> print(limit_reached(OSError(24, "Too many open files")).got)
        ran out of open files: [Errno 24] Too many open files
        >>> limit_reached(ValueError("no number")) is None
        True
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        exhausted = _exhausted(cause)
        if exhausted is not None:
            reason = (str(cause) or type(cause).__name__).strip().splitlines()[0][:300]
            return LearnAlignError(
                f"ran out of {exhausted}: {reason}",
                expected=f"usage below the limit: {_limits(exhausted)}",
                do=f"{_DO[exhausted]}; then run the same command to resume",
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _exhausted(error: BaseException) -> str | None:
    """Return the resource that ran out; None if the error is about something else."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return _NUMBERS[error.errno]
    # Other errors are recognised by their message; LearnAlignError already explains itself.
    if not isinstance(error, OSError | ImportError | RuntimeError):
        return None
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, for accelerator memory
        return _DEVICE
    for pattern, name in ((_NO_MEMORY, _MEMORY), (_NO_THREAD, _PROCESSES), (_NO_FILE, _FILES)):
        if pattern.search(text):
            return name
    return None


def _limits(resource_name: str) -> str:
    """Name the limits in force, with their values."""
    try:
        import resource
    except ImportError:  # not available on this system
        return "unknown"
    if resource_name == _MEMORY:
        limits = [
            _named("address space (ulimit -v)", resource.RLIMIT_AS, 2**20, " MiB"),
            _named("data (ulimit -d)", resource.RLIMIT_DATA, 2**20, " MiB"),
            _group("memory.max", "memory of the container or job (cgroup)"),
        ]
        return ", ".join(filter(None, limits)) or "the machine's memory (ulimit -v is unlimited)"
    if resource_name == _DEVICE:
        return "the accelerator's memory, shared with other processes on it"
    if resource_name == _FILES:
        return _named("open files (ulimit -n)", resource.RLIMIT_NOFILE) or "unknown"
    limits = [
        _named("processes of this user (ulimit -u)", resource.RLIMIT_NPROC),
        _group("pids.max", "processes of the container or job (cgroup)"),
    ]
    return ", ".join(filter(None, limits)) or "unknown"


def _named(name: str, number: int, scale: int = 1, unit: str = "") -> str:
    import resource

    soft, _ = resource.getrlimit(number)
    return "" if soft == resource.RLIM_INFINITY else f"{name} {soft // scale}{unit}"


def _group(file: str, name: str) -> str:
    """Read a limit of the control group; empty if it has none."""
    try:
        value = Path("/sys/fs/cgroup", file).read_text().strip()
    except OSError:
        return ""
    return "" if value == "max" else f"{name} {value}"
