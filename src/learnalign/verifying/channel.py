"""Line-based communication with a child process, with a timeout on every wait."""

import os
import select
import time
from collections import deque
from contextlib import suppress

from learnalign.process_guard import Child

_PART = 65_536
#: What is kept of the error stream: enough to say what ended the process.
_TAIL = 4_000
#: A line longer than this is no answer.
_LONGEST = 64 * 1024 * 1024


class Channel:
    """Writes to a child's input and reads its output; its error stream is drained throughout.

    Args:
        child: Started with pipes for all three, unbuffered.
    """

    def __init__(self, child: Child) -> None:
        process = child.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input = process.stdin.fileno()
        self._output: int | None = process.stdout.fileno()
        self._errors: int | None = process.stderr.fileno()
        for descriptor in (self._input, self._output, self._errors):
            os.set_blocking(descriptor, False)
        self._lines: deque[bytes] = deque()
        self._begun: list[bytes] = []
        self._length = 0
        self._stderr_tail = b""

    @property
    def stderr_tail(self) -> str:
        """The end of what the child wrote to its error stream."""
        self._drain()
        return self._stderr_tail.decode(errors="replace").strip()

    def send(self, line: bytes, wait_s: float) -> None:
        """Write a line.

        Raises:
            TimeoutError: if it is not read in time.
            BrokenPipeError: if the child no longer reads.
        """
        deadline = time.monotonic() + wait_s
        left = memoryview(line + b"\n")
        while left:
            if self._wait(deadline, writing=True):
                with suppress(BlockingIOError):
                    left = left[os.write(self._input, left[:_PART]) :]

    def receive(self, wait_s: float) -> bytes | None:
        """Read a line.

        Returns:
            The line; None if the child writes no more.

        Raises:
            TimeoutError: if none comes in time.
            ValueError: if a line has no end.
        """
        deadline = time.monotonic() + wait_s
        while not self._lines:
            if self._output is None:
                return None
            self._wait(deadline)
        return self._lines.popleft()

    def _wait(self, deadline: float, *, writing: bool = False) -> bool:
        """Wait until something can be read, or written; say whether it can be written."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        poll = select.poll()  # select() itself knows no descriptor above 1023
        for descriptor in (self._output, self._errors):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        if writing:
            poll.register(self._input, select.POLLOUT)
        ready = dict(poll.poll(min(left, 3600.0) * 1000.0 + 1.0))
        if self._errors in ready:
            self._drain()
        if self._output in ready:
            self._read()
        return self._input in ready

    def _read(self) -> None:
        part = _part(self._output)
        if part == b"":
            self._output = None
        if not part:
            return
        *whole, rest = part.split(b"\n")
        if whole:
            self._lines += [b"".join(self._begun) + whole[0], *whole[1:]]
            self._begun, self._length = [], 0
        self._begun.append(rest)
        self._length += len(rest)
        if self._length > _LONGEST:
            raise ValueError("a line without an end")

    def _drain(self) -> None:
        """Read what there is of the error stream; a grandchild may keep it open forever."""
        for _ in range(64):
            part = _part(self._errors)
            if part == b"":
                self._errors = None
            if not part:
                return
            self._stderr_tail = (self._stderr_tail + part)[-_TAIL:]


def _part(descriptor: int | None) -> bytes | None:
    """Read some bytes; None if there are none now, empty at the end."""
    if descriptor is None:
        return b""
    try:
        return os.read(descriptor, _PART)
    except BlockingIOError:
        return None
