"""A pool of workers that threads borrow from; a forked process has its own."""

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from queue import LifoQueue
from typing import TypeVar

from learnalign.verifying.limits import no_worker
from learnalign.verifying.processes import WorkerProcess

_T = TypeVar("_T")
_R = TypeVar("_R")


class Workers:
    """Worker processes, each started when it is first needed.

    Args:
        count: How many there may be; further borrowers wait.
        timeout_s: Seconds an answer may take.
        memory_mb: What each may allocate, in MiB; None for no limit.
    """

    def __init__(self, count: int, timeout_s: float, memory_mb: int | None) -> None:
        self._make = partial(WorkerProcess, timeout_s, memory_mb)
        self._all = [self._make() for _ in range(count)]
        self._make_all_free()
        _every.add(self)

    def __len__(self) -> int:
        return len(self._all)

    @contextmanager
    def borrowed(self) -> Iterator[WorkerProcess]:
        """Yield a worker for exclusive use."""
        free = self._free
        worker = free.get()
        try:
            yield worker
        finally:
            free.put(worker)

    def side_by_side(
        self, do: Callable[[_T], _R], items: Iterable[_T], at_once: int | None = None
    ) -> Iterator[_R]:
        """Call a function for each item, several at a time; results keep the order.

        A single item runs in the calling thread.

        Args:
            do: May borrow a worker.
            items: What it is done for.
            at_once: How many at a time; as many as there are workers, if not given.

        Raises:
            LearnAlignError: if the system starts no more threads.
        """
        threads = ThreadPoolExecutor(at_once or len(self))
        try:
            for some in batches(items, 16 * len(self)):
                if len(some) == 1:
                    yield do(some[0])
                    continue
                try:
                    done = threads.map(do, some)
                except RuntimeError as error:
                    raise no_worker(error) from error
                yield from done
        finally:
            # After an error or an interrupt, do not wait for the workers.
            threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End all workers, even while threads wait for one."""
        for worker in self._all:
            worker.close()

    def begin_again(self) -> None:
        """End all workers and start new ones, after an interrupt."""
        self.close()
        self._all = [self._make() for _ in self._all]
        self._make_all_free()

    def discard_cached(self) -> None:
        """Forget the parent's workers, in a forked child."""
        for worker in self._all:
            worker.discard_cached()
        self._make_all_free()

    def _make_all_free(self) -> None:
        # Last in, first out: one thread alone keeps to one worker.
        self._free: LifoQueue[WorkerProcess] = LifoQueue()
        for worker in self._all:
            self._free.put(worker)


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of ``size``; the last may be shorter."""
    found = iter(items)
    while some := list(islice(found, size)):
        yield some


_every: "weakref.WeakSet[Workers]" = weakref.WeakSet()


def _forget_all() -> None:
    for workers in list(_every):
        workers.discard_cached()


os.register_at_fork(after_in_child=_forget_all)
