"""One process in a sandbox: messages in and out, with a time limit for each answer."""

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

from learnalign.verifying.channel import Channel
from learnalign.verifying.programs.sandbox import Sandbox

#: Seconds to write a message, and between two looks at the memory in use.
_SEND_S, _LOOK_S = 60.0, 0.25


class EndedError(RuntimeError):
    """The process has ended, or sent what is not a message."""


class TooSlowError(RuntimeError):
    """No answer came in time.

    Args:
        computing: Share of the wait in which the process was computing; 0 if it is unknown.
    """

    def __init__(self, computing: float) -> None:
        super().__init__()
        self.computing = computing


class Session:
    """A new process in a sandbox.

    Args:
        sandbox: Where it runs; it has no other process.

    Raises:
        SandboxError: if it does not start.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._socket = sandbox.start()
        self._writer = os.dup(self._socket.fileno())
        self._channel = Channel(self._socket.fileno(), self._writer)
        self._has_ended = False
        self.entry_point: int | None = None
        """The program's number for the function under test, once it is known."""

    def send(self, message: list[Any] | bytes) -> None:
        """Send a message, or one that another process has sent.

        Raises:
            EndedError: if the process has ended.
        """
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        try:
            self._channel.send(line, _SEND_S)
        except (OSError, ValueError) as error:
            raise EndedError from error

    def line(self, wait_s: float) -> bytes:
        """Return the next line.

        Raises:
            EndedError: if the process ends, sends too much, or uses too much memory.
            TooSlowError: if no line comes in time.
        """
        begin = time.monotonic()
        first: tuple[float, float] | None = None
        while True:
            left = begin + wait_s - time.monotonic()
            try:
                line = self._channel.receive(min(max(left, 0.0), _LOOK_S))
            except TimeoutError:
                now, used = time.monotonic(), self.sandbox.usage()
                if used.memory_mb > self.sandbox.memory_mb:
                    self.sandbox.close()
                    raise EndedError(f"it used more than {self.sandbox.memory_mb} MiB") from None
                if left <= 0:
                    since, cpu_s = first or (now, used.cpu_s)
                    raise TooSlowError((used.cpu_s - cpu_s) / max(now - since, 1e-3)) from None
                first = first or (now, used.cpu_s)
                continue
            except (OSError, ValueError) as error:
                raise EndedError(str(error)) from error
            if line is None:
                raise EndedError
            return line

    def receive(self, wait_s: float) -> list[Any]:
        """Return the next message; raises as `line`."""
        try:
            message = json.loads(self.line(wait_s))
        except (ValueError, RecursionError) as error:
            raise EndedError("it sent what is not a message") from error
        if not isinstance(message, list) or not message:
            raise EndedError("it sent what is not a message")
        return message

    def end(self) -> str:
        """End the process and all that it has started; say how it has ended before."""
        if self._has_ended:
            return "it has ended"
        self._has_ended = True
        code = self.sandbox.end() if self.sandbox.is_open else None
        with suppress(OSError):
            os.close(self._writer)
        self._socket.close()
        if code is None:
            return "it ended its sandbox"
        return f"killed by {_signal_name(-code)}" if code < 0 else f"exit status {code}"


def _signal_name(number: int) -> str:
    """Return a signal's name; only the first and the last real-time signal have one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
