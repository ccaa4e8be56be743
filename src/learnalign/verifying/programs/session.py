"""A process in a sandbox, as messages in and out with a time limit for each answer."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from typing import Any

from learnalign.process_guard import Child
from learnalign.verifying.channel import Channel
from learnalign.verifying.programs import bubblewrap
from learnalign.verifying.programs.usage import Usage, usage

#: Seconds to create a sandbox and start its interpreter.
_START_S = 60.0
#: Seconds between two looks at the memory in use.
_LOOK_S = 0.25
_REAP_S = 10.0


class SandboxError(RuntimeError):
    """A sandbox could not be created: nobody's answer is wrong."""


class EndedError(RuntimeError):
    """The process has ended, or sent what is not a message."""


class TooSlowError(RuntimeError):
    """No answer came in time."""


class Session:
    """A new sandbox that runs a module of `learnalign.verifying.programs.inside`.

    Args:
        sandbox: ``bubblewrap``, or ``none`` for a plain process.
        module: ``program`` or ``tests``.
        memory_mb: Memory limit of each process, and of all together.
        timeout_s: Time limit of a test, which the sandbox applies to inputs.

    Raises:
        SandboxError: if it does not start.
    """

    def __init__(self, sandbox: str, module: str, *, memory_mb: int, timeout_s: float) -> None:
        alone = sandbox == "bubblewrap"
        self.module, self.memory_mb = module, memory_mb
        self._child: Child | None = None
        try:
            if alone:
                self._process = bubblewrap.start(module)
            else:
                self._child = _plain(module)
                self._process = self._child.process
        except OSError as error:
            raise SandboxError(f"cannot start a sandbox: {error}") from error
        self._channel = Channel(self._process)
        packages = bubblewrap.packages() if alone else [sysconfig.get_path("purelib")]
        options: dict[str, Any] = {"memory_mb": memory_mb, "timeout_s": timeout_s}
        options |= {"alone": alone, "packages": packages}
        try:
            if self._receive(_START_S) != ["ready"]:
                raise EndedError
        except (EndedError, TooSlowError) as error:
            said = self._channel.stderr_tail
            self.close()
            raise SandboxError(f"a sandbox did not start: {said[-500:]}") from error
        self.send(["options", options])

    def send(self, message: list[Any] | bytes) -> None:
        """Send a message, or one that another process has sent.

        Raises:
            EndedError: if the process has ended.
        """
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        try:
            self._channel.send(line, _START_S)
        except (OSError, TimeoutError) as error:
            raise EndedError from error

    def line(self, wait_s: float) -> bytes:
        """Return the next line.

        Raises:
            EndedError: if the process ends, sends too much, or uses too much memory.
            TooSlowError: if no line comes in time.
        """
        begin = time.monotonic()
        while True:
            left = begin + wait_s - time.monotonic()
            try:
                line = self._channel.receive(min(max(left, 0.0), _LOOK_S))
            except TimeoutError:
                if self.usage().memory_mb > self.memory_mb:
                    self.close()
                    raise EndedError(f"it used more than {self.memory_mb} MiB") from None
                if left <= 0:
                    raise TooSlowError from None
                continue
            except (OSError, ValueError) as error:
                raise EndedError(str(error)) from error
            if line is None:
                raise EndedError
            return line

    def receive(self, wait_s: float) -> list[Any]:
        """Return the next message; raises as `line`."""
        return self._receive(wait_s)

    def usage(self) -> Usage:
        """Return what the sandbox uses: processor time so far, and memory."""
        return usage(self._process.pid)

    def ending(self) -> str:
        """Say how the process ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        if code is None:
            return "it closed its pipes"
        if code > 128:  # as bubblewrap and shells report a signal
            code = 128 - code
        return (
            f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        )

    def close(self) -> None:
        """Kill the process and all that it has started."""
        if self._child is not None:
            self._child.end()
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, wait_s: float) -> list[Any]:
        try:
            message = json.loads(self.line(wait_s))
        except (ValueError, RecursionError) as error:
            raise EndedError("it sent what is not a message") from error
        if not isinstance(message, list) or not message:
            raise EndedError("it sent what is not a message")
        return message


def _plain(module: str) -> Child:
    """Start a module as a plain process; nothing protects this machine from it."""
    folder = str(bubblewrap.inside_folder().parent)
    return Child(
        bubblewrap.interpreter(sys.executable, folder, module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
    )
