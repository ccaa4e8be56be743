"""Stream rows as float32 blocks of equal height; the next piece is read in a thread."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from learnalign.scoring.float16 import widen

Item = TypeVar("Item")
Indices = NDArray[np.int64]
Piece = tuple[NDArray[np.float16], Indices]

#: Values per block: 1 MB of float32, which stays in a core's cache between conversion and
#: product. For larger matrices numpy's BLAS uses threads, which is slower here.
BLOCK_VALUES = 2**18
_DEPTH = 2


def blocks(pieces: Iterable[Piece]) -> Iterator[tuple[NDArray[np.float32], Indices]]:
    """Cut a stream of float16 rows into float32 blocks.

    The block boundaries depend only on the rows that are kept, not on the pieces: sums over blocks
    are bit for bit the same for any shard size.

    Args:
        pieces: (n, d) rows and their (n,) indices; rows with a negative index are left out.

    Yields:
        (r, d) rows and (r,) indices, in the order of the pieces; overwritten by the next block.
    """
    rows = np.empty((0, 0), np.float32)
    indices = np.empty(0, np.int64)
    filled = 0
    for halves, row_indices in pieces:
        kept = np.flatnonzero(row_indices >= 0)
        if len(kept) and not len(rows):
            height = max(1, BLOCK_VALUES // max(1, halves.shape[1]))
            rows, indices = np.empty((height, halves.shape[1]), np.float32), np.empty(height, int)
        begin = 0
        while begin < len(kept):
            part = kept[begin : begin + len(rows) - filled]
            end = filled + len(part)
            gapless = part[-1] - part[0] + 1 == len(part)
            widen(halves[part[0] : part[-1] + 1] if gapless else halves[part], rows[filled:end])
            indices[filled:end] = row_indices[part]
            begin, filled = begin + len(part), end
            if filled == len(rows):
                yield rows, indices
                filled = 0
    if filled:
        yield rows[:filled], indices[:filled]


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Read items ahead in a second thread, at most two at a time.

    An error in the thread is raised here; the thread ends with this iterator.

    Example:
        >>> list(read_ahead(iter("abc")))
        ['a', 'b', 'c']
    """
    waiting: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(_DEPTH)
    closed = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                waiting.put((True, item))
                del item  # else it would stay in memory until the next one is read
                if closed.is_set():
                    return
        except BaseException as error:
            end = error
        waiting.put((False, end))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if not more:
                if item is not None:
                    raise item  # type: ignore[misc]
                return
            yield item  # type: ignore[misc]
            del item
    finally:
        closed.set()
        while thread.is_alive():
            try:
                waiting.get(timeout=0.01)
            except queue.Empty:
                continue
