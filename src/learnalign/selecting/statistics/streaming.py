"""Rows of any number as float32 blocks of one height; the next piece is read in a thread."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from learnalign.scoring.float16 import widen

Item = TypeVar("Item")
Places = NDArray[np.int64]
Piece = tuple[NDArray[np.float16], Places]

#: Values of a block: 1 MB of float32, which stays in a core's cache between conversion and
#: product. Products of larger matrices numpy's BLAS splits over threads, at a loss here.
BLOCK_VALUES = 2**18
_DEPTH = 2


def blocks(pieces: Iterable[Piece]) -> Iterator[tuple[NDArray[np.float32], Places]]:
    """Cut a stream of float16 rows into float32 blocks.

    Where the blocks begin depends on the rows that count alone, not on how they were cut into
    pieces: sums over blocks are the same to the last bit for any size of shard.

    Args:
        pieces: (n, d) rows with an (n,) number each; rows with a negative one are left out.

    Yields:
        (r, d) rows and (r,) numbers, in the order of the pieces; overwritten by the next block.
    """
    rows = np.empty((0, 0), np.float32)
    places = np.empty(0, np.int64)
    filled = 0
    for halves, numbers in pieces:
        kept = np.flatnonzero(numbers >= 0)
        if len(kept) and not len(rows):
            height = max(1, BLOCK_VALUES // max(1, halves.shape[1]))
            rows, places = np.empty((height, halves.shape[1]), np.float32), np.empty(height, int)
        begin = 0
        while begin < len(kept):
            some = kept[begin : begin + len(rows) - filled]
            end = filled + len(some)
            gapless = some[-1] - some[0] + 1 == len(some)
            widen(halves[some[0] : some[-1] + 1] if gapless else halves[some], rows[filled:end])
            places[filled:end] = numbers[some]
            begin, filled = begin + len(some), end
            if filled == len(rows):
                yield rows, places
                filled = 0
    if filled:
        yield rows[:filled], places[:filled]


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Take items in a second thread, at most two before they are asked for.

    An error there is raised here; the thread ends with this iterator.

    Example:
        >>> list(ahead(iter("abc")))
        ['a', 'b', 'c']
    """
    waiting: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(_DEPTH)
    left = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                waiting.put((True, item))
                del item  # or it would live until the next one is there
                if left.is_set():
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
        left.set()
        while thread.is_alive():
            try:
                waiting.get(timeout=0.01)
            except queue.Empty:
                continue
