"""A sandbox on this machine, whose fork server starts one process after another."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from contextlib import suppress
from typing import Any

from learnalign.process_guard import Child
from learnalign.verifying.programs import bubblewrap
from learnalign.verifying.programs.usage import Usage, usage

#: Seconds to create a sandbox, to start its interpreter, and to end a process in it.
_START_S, _END_S, _REAP_S = 60.0, 5.0, 10.0
_SAID_BYTES = 4_000


class SandboxError(RuntimeError):
    """A sandbox could not be created: no answer is wrong because of it."""


class Sandbox:
    """Processes of a module of `learnalign.verifying.programs.inside`, one at a time.

    It starts in the background; `start` waits for it.

    Args:
        kind: ``bubblewrap``, or ``none`` for plain processes.
        module: ``program`` or ``tests``.
        memory_mb: Memory limit of each process, and of all together.
        timeout_s: Time limit of a test, which the sandbox applies to inputs.

    Raises:
        SandboxError: if it does not start.
    """

    def __init__(self, kind: str, module: str, *, memory_mb: int, timeout_s: float) -> None:
        self.module, self.memory_mb = module, memory_mb
        self.is_open, self._is_ready, self._child = True, False, None
        isolated = kind == "bubblewrap"
        packages = bubblewrap.packages() if isolated else [sysconfig.get_path("purelib")]
        options = {"module": module, "memory_mb": memory_mb, "timeout_s": timeout_s}
        options |= {"isolated": isolated, "packages": packages}
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_S)
        try:
            if isolated:
                self._process = bubblewrap.start(theirs)
            else:
                self._child = _plain(theirs)
                self._process = self._child.process
            self._control.send(json.dumps(options).encode())
        except OSError as error:
            self._control.close()
            raise SandboxError(f"cannot start a sandbox: {error}") from error
        finally:
            theirs.close()

    def start(self) -> socket.socket:
        """Start a process, and return the socket to it; the one before must have ended.

        Raises:
            SandboxError: if the sandbox does not work.
        """
        ours, theirs = socket.socketpair()
        try:
            if not self._is_ready:
                self._wait_until_ready()
            socket.send_fds(self._control, [b"start"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            self.close()
            raise SandboxError(f"the sandbox has ended: {error}") from error
        finally:
            theirs.close()
        return ours

    def end(self) -> int | None:
        """End the process and all that it has started, and remove its files.

        Returns:
            Its exit status (negative for a signal); None if that failed: then the sandbox is
            closed.
        """
        try:
            self._control.settimeout(_END_S)
            self._control.send(b"end")
            return int(self._control.recv(16))
        except (OSError, ValueError):
            self.close()
            return None

    def usage(self) -> Usage:
        """Return what all processes in it use: processor time so far, and memory."""
        return usage(self._process.pid)

    def close(self) -> None:
        """Kill everything in it."""
        if not self.is_open:
            return
        self.is_open = False
        self._control.close()
        if self._child is not None:
            self._child.end()
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _wait_until_ready(self) -> None:
        if self._control.recv(16) != b"ready":
            assert self._process.stderr is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            os.set_blocking(self._process.stderr.fileno(), False)
            said = (self._process.stderr.read() or b"")[-_SAID_BYTES:].decode(errors="replace")
            self.close()
            raise SandboxError(f"a sandbox did not start: {said.strip()[-500:]}")
        self._is_ready = True


def _plain(control: socket.socket) -> Child:
    """Start a fork server as a plain process; nothing protects this machine from it."""
    variables: dict[str, Any] = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"}
    return Child(
        bubblewrap.interpreter(sys.executable, str(bubblewrap.inside_folder().parent)),
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=variables | {"PYTHONHASHSEED": "0"},
    )
