"""Blocks of one height whatever the pieces; reading ahead without running away."""

import threading
import time

import numpy as np
import pytest

from learnalign.selecting.statistics import streaming
from learnalign.selecting.statistics.streaming import blocks, read_ahead


@pytest.mark.parametrize("piece", [1, 3, 4, 50])
@pytest.mark.parametrize("left_out", [1, 2, 5, 1000])
def test_blocks_hold_every_counting_row_in_order(monkeypatch, piece, left_out):
    monkeypatch.setattr(streaming, "BLOCK_VALUES", 4 * 8 + 7)
    rows = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float16)
    places = np.arange(50)[::-1].copy()
    places[::left_out] = -1
    pieces = [(rows[i : i + piece], places[i : i + piece]) for i in range(0, 50, piece)]
    found = [(block.copy(), at.copy()) for block, at in blocks(pieces)]
    kept = places >= 0
    assert [len(at) for _, at in found[:-1]] == [4] * (len(found) - 1)
    if kept.any():
        assert (np.concatenate([b for b, _ in found]) == rows[kept].astype(np.float32)).all()
        assert (np.concatenate([at for _, at in found]) == places[kept]).all()
    else:
        assert found == []


def test_a_row_wider_than_a_block():
    rows = np.ones((3, streaming.BLOCK_VALUES + 1), np.float16)
    assert [b.shape[0] for b, _ in blocks([(rows, np.arange(3))])] == [1, 1, 1]


def test_ahead_reads_a_bounded_number_of_items():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    reader = read_ahead(items())
    assert next(reader) == 0
    deadline = time.monotonic() + 5.0
    while len(taken) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    # One handed over, two waiting, one in the thread's hand.
    assert len(taken) == 4
    reader.close()


def test_ahead_raises_what_the_thread_met_and_leaves_no_thread():
    def broken():
        yield 1
        raise OSError("disk gone")

    before = threading.active_count()
    reader = read_ahead(broken())
    assert next(reader) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(reader)
    unfinished = read_ahead(iter(range(1000)))
    next(unfinished)
    unfinished.close()
    assert threading.active_count() == before
