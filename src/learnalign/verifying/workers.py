"""A set of workers that threads borrow from, one at a time; a forked process has its own."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue

from learnalign.verifying.processes import WorkerProcess


class Workers:
    """Worker processes, each started when it is first needed.

    Args:
        count: How many there may be; whoever wants one more waits.
        timeout_s: Seconds an answer may take.
        memory_mb: What each may allocate, in MiB; None for no limit.
    """

    def __init__(self, count: int, timeout_s: float, memory_mb: int | None) -> None:
        self._all = [WorkerProcess(timeout_s, memory_mb) for _ in range(count)]
        self._make_all_free()
        _every.add(self)

    def __len__(self) -> int:
        return len(self._all)

    @contextmanager
    def borrowed(self) -> Iterator[WorkerProcess]:
        """Give a worker that nobody else uses meanwhile."""
        free = self._free
        worker = free.get()
        try:
            yield worker
        finally:
            free.put(worker)

    def close(self) -> None:
        """End them all, whoever waits for one."""
        for worker in self._all:
            worker.close()

    def forget(self) -> None:
        """Begin with none, in a forked child: the parent's are the parent's."""
        for worker in self._all:
            worker.forget()
        self._make_all_free()

    def _make_all_free(self) -> None:
        # Last in, first out: one thread alone keeps to one worker.
        self._free: LifoQueue[WorkerProcess] = LifoQueue()
        for worker in self._all:
            self._free.put(worker)


_every: "weakref.WeakSet[Workers]" = weakref.WeakSet()


def _forget_all() -> None:
    for workers in list(_every):
        workers.forget()


os.register_at_fork(after_in_child=_forget_all)
