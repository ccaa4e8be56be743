"""Kills a piece of work, in a forked child, at its n-th operation on the files below a folder."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

#: Audit events that change what lies on the disk, and which of their arguments is the path.
_CHANGES = {
    "os.mkdir": 0,
    "os.rename": 0,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.link": 1,
    "shutil.rmtree": 0,
    "shutil.copyfile": 1,
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, which a forked child can do without."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def killed_at(work: Callable[[], Any], below: Path, n: int | None) -> int:
    """Do a piece of work in a forked child that kills itself before its n-th file operation.

    An operation is the opening of a file for writing, a rename, a deletion or the making of a
    folder, anywhere below ``below``. Python code alone is seen: a file that compiled code writes
    counts once it is renamed.

    Args:
        work: What the child does.
        below: Folder whose files count.
        n: 1 for the first operation; None lets the child live.

    Returns:
        How many operations there were, if the child lived to the end; 0 if it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            # After a fork torch makes its pool of threads again, and by one thread at best.
            torch.set_num_threads(1)
            seen = _watched(str(below), n)
            work()
            os.write(writing, str(seen[0]).encode())
            code = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return 0
    assert status == 0, said
    return int(said)


def _watched(below: str, n: int | None) -> list[int]:
    """Count this process's operations, and kill it before the n-th."""
    seen = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in _CHANGES:
            path = arguments[_CHANGES[event]]
        else:
            return
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(below):
            return
        seen[0] += 1
        if seen[0] == n:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen
