"""Running into a limit of the system's, said in one message: which limit, and what needs less."""

import errno
import re
from pathlib import Path

from learnalign.errors import LearnAlignError

#: What libraries say of memory that they did not get, whatever kind of error they make of it.
_NO_MEMORY = re.compile(
    r"can(not|'t) allocate memory|failed to map segment|out of memory|bad_alloc|unable to mmap"
    r"|os error 12\b|unable to allocate|could not create a primitive",
    re.IGNORECASE,
)
_NO_THREAD = re.compile(r"can't start new thread|pthread_create|os error 11\b", re.IGNORECASE)
_NO_FILE = re.compile(r"too many open files|os error 24\b", re.IGNORECASE)

_MEMORY, _FILES, _PROCESSES = "memory", "open files", "processes and threads"
_DEVICE = "memory of the device"
_NUMBERS = {
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _PROCESSES,
}
_DO = {
    _DEVICE: "need less: --set rollouts.token_budget=2000 --set gradients.token_budget=2000",
    _MEMORY: "raise it; or need less: --set rollouts.token_budget=2000 --set "
    "gradients.token_budget=2000, fewer --set verifier.workers=2, a smaller --shard-size",
    _FILES: "raise it (ulimit -n 4096); or need fewer: --set verifier.workers=2",
    _PROCESSES: "raise it (ulimit -u); or need fewer: --set verifier.workers=2, OMP_NUM_THREADS=1",
}


def limit_reached(error: BaseException) -> LearnAlignError | None:
    """Say which limit of the system's an error comes from, or one of its causes; None if none.

    Example:
        >>> print(limit_reached(OSError(24, "Too many open files")).do)
        raise it (ulimit -n 4096); or need fewer: --set verifier.workers=2; the same command goes on
        >>> limit_reached(ValueError("no number")) is None
        True
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        what = _limited(cause)
        if what is not None:
            reason = (str(cause) or type(cause).__name__).strip().splitlines()[0][:300]
            return LearnAlignError(
                f"the system gives no more {what}: {reason}",
                expected=f"room below its limit: {_limits(what)}",
                do=f"{_DO[what]}; the same command goes on",
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _limited(error: BaseException) -> str | None:
    """Say what there was no more of."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return _NUMBERS[error.errno]
    # Of other errors the words decide; ours have been thought about.
    if not isinstance(error, OSError | ImportError | RuntimeError):
        return None
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of an accelerator
        return _DEVICE
    for pattern, what in ((_NO_MEMORY, _MEMORY), (_NO_THREAD, _PROCESSES), (_NO_FILE, _FILES)):
        if pattern.search(text):
            return what
    return None


def _limits(what: str) -> str:
    """Name the limits there are, with their values."""
    try:
        import resource
    except ImportError:  # not on this system
        return "the system's"
    if what == _MEMORY:
        found = [
            _named("address space (ulimit -v)", resource.RLIMIT_AS, 2**20, " MiB"),
            _named("data (ulimit -d)", resource.RLIMIT_DATA, 2**20, " MiB"),
            _group("memory.max", "memory of the container or job (cgroup)"),
        ]
        return ", ".join(filter(None, found)) or "the machine's memory; ulimit -v sets none"
    if what == _DEVICE:
        return "what the accelerator has, other processes on it counted"
    if what == _FILES:
        return _named("open files (ulimit -n)", resource.RLIMIT_NOFILE) or "the system's"
    found = [
        _named("processes of this user (ulimit -u)", resource.RLIMIT_NPROC),
        _group("pids.max", "processes of the container or job (cgroup)"),
    ]
    return ", ".join(filter(None, found)) or "the system's"


def _named(name: str, number: int, unit: int = 1, word: str = "") -> str:
    import resource

    soft, _ = resource.getrlimit(number)
    return "" if soft == resource.RLIM_INFINITY else f"{name} {soft // unit}{word}"


def _group(file: str, name: str) -> str:
    """Read a limit of the control group, if it has one."""
    try:
        value = Path("/sys/fs/cgroup", file).read_text().strip()
    except OSError:
        return ""
    return "" if value == "max" else f"{name} {value}"
