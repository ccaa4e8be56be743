"""Line-based communication with a child process, with a timeout for every wait."""

import os
import select
import time
from collections import deque
from contextlib import suppress

_CHUNK_BYTES = 65_536
#: Bytes of the error stream to keep, to report why the process ended.
_TAIL_BYTES = 4_000
#: Maximum bytes of a line.
_MAX_LINE_BYTES = 64 * 1024 * 1024


class Channel:
    """Writes to a process and reads its output, while draining its error stream.

    Args:
        reader: Descriptor of its output.
        writer: Descriptor of its input; not the same, even for a socket.
        errors: Descriptor of its error stream, if it has its own.
    """

    def __init__(self, reader: int, writer: int, errors: int | None = None) -> None:
        self._input = writer
        self._output: int | None = reader
        self._errors = errors
        for descriptor in (reader, writer, errors):
            if descriptor is not None:
                os.set_blocking(descriptor, False)
        self._lines: deque[bytes] = deque()
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._stderr_tail = b""

    @property
    def stderr_tail(self) -> str:
        """The end of the child's error stream."""
        self._drain()
        return self._stderr_tail.decode(errors="replace").strip()

    def send(self, line: bytes, wait_s: float) -> None:
        """Write a line.

        Raises:
            TimeoutError: if the child does not read it in time.
            BrokenPipeError: if the child has closed its input.
        """
        deadline = time.monotonic() + wait_s
        left = memoryview(line + b"\n")
        while left:
            if self._wait(deadline, writing=True):
                with suppress(BlockingIOError):
                    left = left[os.write(self._input, left[:_CHUNK_BYTES]) :]

    def receive(self, wait_s: float) -> bytes | None:
        """Read a line.

        Returns:
            The line; None at the end of the output.

        Raises:
            TimeoutError: if no line arrives in time.
            ValueError: if a line is too long.
        """
        deadline = time.monotonic() + wait_s
        while not self._lines:
            if self._output is None:
                return None
            self._wait(deadline)
        return self._lines.popleft()

    def _wait(self, deadline: float, *, writing: bool = False) -> bool:
        """Wait until a stream is ready, read available data, and return whether input is ready."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        poll = select.poll()  # select() does not support descriptors above 1023
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
        chunk = _read_chunk(self._output)
        if chunk == b"":
            self._output = None
        if not chunk:
            return
        *complete, rest = chunk.split(b"\n")
        if complete:
            self._lines += [b"".join(self._partial) + complete[0], *complete[1:]]
            self._partial, self._partial_bytes = [], 0
        self._partial.append(rest)
        self._partial_bytes += len(rest)
        if self._partial_bytes > _MAX_LINE_BYTES:
            raise ValueError("a line is too long")

    def _drain(self) -> None:
        """Read the available part of the error stream; a grandchild may keep it open forever."""
        for _ in range(64):
            chunk = _read_chunk(self._errors)
            if chunk == b"":
                self._errors = None
            if not chunk:
                return
            self._stderr_tail = (self._stderr_tail + chunk)[-_TAIL_BYTES:]


def _read_chunk(descriptor: int | None) -> bytes | None:
    """Read some bytes; None if none are available, empty at the end."""
    if descriptor is None:
        return b""
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return None
