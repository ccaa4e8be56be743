"""A pool of workers shared by threads; a forked process gets its own."""

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
        count: Maximum number of workers; further borrowers wait.
        timeout_s: Time limit of an answer in seconds.
        memory_mb: Memory limit of each worker in MiB; None for no limit.
    """

    def __init__(self, count: int, timeout_s: float, memory_mb: int | None) -> None:
        self._create = partial(WorkerProcess, timeout_s, memory_mb)
        self._all = [self._create() for _ in range(count)]
        self._release_all()
        _instances.add(self)

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

    def map(
        self, function: Callable[[_T], _R], items: Iterable[_T], num_threads: int | None = None
    ) -> Iterator[_R]:
        """Call a function for each item in several threads; results are in order.

        A single item runs in the calling thread.

        Args:
            function: May borrow a worker.
            items: Its arguments.
            num_threads: Number of threads; by default, the number of workers.

        Raises:
            LearnAlignError: if no more threads can be started.
        """
        threads = ThreadPoolExecutor(num_threads or len(self))
        try:
            for batch in batches(items, 16 * len(self)):
                if len(batch) == 1:
                    yield function(batch[0])
                    continue
                try:
                    results = threads.map(function, batch)
                except RuntimeError as error:
                    raise no_worker(error) from error
                yield from results
        finally:
            # After an error or an interrupt, do not wait for the workers.
            threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End all workers, even if threads are waiting for one."""
        for worker in self._all:
            worker.close()

    def restart(self) -> None:
        """Replace all workers after an interrupt."""
        self.close()
        self._all = [self._create() for _ in self._all]
        self._release_all()

    def discard_cached(self) -> None:
        """Drop the parent's workers in a forked child."""
        for worker in self._all:
            worker.discard_cached()
        self._release_all()

    def _release_all(self) -> None:
        # Last in, first out: a single thread always uses the same worker.
        self._free: LifoQueue[WorkerProcess] = LifoQueue()
        for worker in self._all:
            self._free.put(worker)


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of ``size``; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


_instances: "weakref.WeakSet[Workers]" = weakref.WeakSet()


def _discard_all() -> None:
    for workers in list(_instances):
        workers.discard_cached()


os.register_at_fork(after_in_child=_discard_all)
