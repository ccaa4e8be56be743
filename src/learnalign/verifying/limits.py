"""Errors for a worker that cannot be started: the limit reached and the option to lower."""

import errno
import resource

from learnalign.errors import LearnAlignError

#: What a worker takes of this process: three pipes.
_DESCRIPTORS = 3


def no_worker(error: Exception) -> LearnAlignError:
    """Return the error for a worker that cannot be started: files, processes, memory or other.

    Example:
        >>> print(no_worker(OSError(errno.EAGAIN, "try again")).expected)
        room for one more process: the limit on them (ulimit -u) is reached
    """
    number = getattr(error, "errno", None)
    fewer = "or start fewer workers with --set verifier.workers=N"
    if number in (errno.EMFILE, errno.ENFILE):
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        expected = (
            f"{_DESCRIPTORS} open files a worker; the limit on open files (ulimit -n) is {limit}"
        )
        do = f"raise it with ulimit -n, {fewer}"
    elif number == errno.ENOMEM or isinstance(error, MemoryError):
        expected = "memory for one more process: the limit on it (ulimit -v, or the machine's) is "
        expected += "reached"
        do = f"raise it, {fewer}"
    elif number == errno.EAGAIN or isinstance(error, RuntimeError):
        expected = "room for one more process: the limit on them (ulimit -u) is reached"
        do = f"raise it, {fewer}"
    else:
        expected, do = "an interpreter that can be started", "see that this Python can run itself"
    return LearnAlignError(
        f"cannot start a worker of the verifier: {error}", expected=expected, do=do
    )
