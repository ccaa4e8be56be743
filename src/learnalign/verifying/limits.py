"""Errors for a worker that cannot be started: the limit that was reached and how to fix it."""

import errno
import resource

from learnalign.errors import LearnAlignError

#: Open files of this process per worker: three pipes.
_DESCRIPTORS = 3


def no_worker(error: Exception) -> LearnAlignError:
    """Return the error for a worker that cannot be started: files, processes, memory or other.

    Example:
        >>> print(no_worker(OSError(errno.EAGAIN, "try again")).expected)
        one more process, but the limit on processes (ulimit -u) is reached
    """
    number = getattr(error, "errno", None)
    fewer = "or start fewer workers with --set verifier.workers=N"
    if number in (errno.EMFILE, errno.ENFILE):
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        expected = (
            f"{_DESCRIPTORS} open files per worker; the limit on open files (ulimit -n) is {limit}"
        )
        do = f"raise it with ulimit -n, {fewer}"
    elif number == errno.ENOMEM or isinstance(error, MemoryError):
        expected = "memory for one more process, but the limit (ulimit -v, or the machine's memory)"
        expected += " is reached"
        do = f"raise it, {fewer}"
    elif number == errno.EAGAIN or isinstance(error, RuntimeError):
        expected = "one more process, but the limit on processes (ulimit -u) is reached"
        do = f"raise it, {fewer}"
    else:
        expected, do = "a Python interpreter that starts", "check that sys.executable can be run"
    return LearnAlignError(f"cannot start a verifier worker: {error}", expected=expected, do=do)
