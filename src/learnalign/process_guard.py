"""Child processes that end when this process ends, even after ``kill -9``.

A small watcher process reads from a pipe whose other end only this process holds. When the pipe
closes, for whatever reason, the watcher ends the processes that are still on its list. A thread
inside the child would not work (a long call into C blocks all its threads), and a parent-death
signal is Linux-only and tied to the parent's thread.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

#: The watcher's program. Each input line is "+ TARGET SECONDS" or "- TARGET 0"; a negative target
#: is a process group. At the end of the input, a target has SECONDS to exit before it is killed.
_WATCHER = """
import os, signal, sys, time

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
targets = {}
for line in sys.stdin.buffer:
    sign, target, grace = line.split()
    targets.pop(int(target), None)
    if sign == b"+":
        targets[int(target)] = float(grace)

def send(target, number):
    try:
        os.kill(target, number)
    except OSError:
        targets.pop(target, None)

for target, grace in list(targets.items()):
    send(target, signal.SIGTERM if grace else signal.SIGKILL)
end = time.monotonic() + max(targets.values(), default=0.0)
while targets and time.monotonic() < end:
    time.sleep(0.05)
    for target in list(targets):
        send(target, 0)
for target in list(targets):
    send(target, signal.SIGKILL)
"""
#: Polling interval for new processes, in seconds.
_POLL_S = 0.1
#: Environment variable that keeps Python from importing from the current folder.
_SAFE = "PYTHONSAFEPATH"
#: Seconds to wait for a killed process; one that hangs in a system call stays a zombie.
_REAP_S = 10.0


class _Watcher:
    """The list of processes that end with this one; the watcher runs while it is not empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[int, float] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, target: int, grace_s: float) -> None:
        with self._lock:
            self._targets[target] = grace_s
            self._send(f"+ {target} {grace_s}\n")

    def remove(self, target: int) -> None:
        with self._lock:
            if self._targets.pop(target, None) is None:
                return
            self._send(f"- {target} 0\n")
            if not self._targets:
                self._stop()

    def close_pipe(self) -> None:
        """Close the parent's pipe in a forked child, so that the pipe closes with the parent."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.returncode = 0  # only the parent can wait for it

    def _send(self, line: str) -> None:
        if self._process is not None:
            try:
                self._write(line)
                return
            except BrokenPipeError:  # the watcher was killed: start another
                self._stop()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # so that Ctrl-C in a terminal does not reach it
        )
        for target, grace_s in self._targets.items():
            self._write(f"+ {target} {grace_s}\n")

    def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            process.kill()


_watcher = _Watcher()


def _new_watcher() -> None:
    global _watcher
    _watcher.close_pipe()
    _watcher = _Watcher()


os.register_at_fork(after_in_child=_new_watcher)


def watch(pid: int, *, grace_s: float = 0.0) -> None:
    """End a process when this one ends.

    Args:
        pid: The process; a negative number is a process group.
        grace_s: Seconds between SIGTERM and SIGKILL; 0 kills at once.
    """
    _watcher.add(pid, grace_s)


def unwatch(pid: int) -> None:
    """Stop watching a process. Call this before waiting for it, as its id may then be reused."""
    _watcher.remove(pid)


@contextmanager
def watching_new(grace_s: float) -> Iterator[list[int]]:
    """Watch the processes that `multiprocessing` starts within the context.

    Args:
        grace_s: See `watch`.

    Yields:
        Their process ids; the list grows as new processes are seen.
    """
    known = {child.pid for child in multiprocessing.active_children()}
    seen: list[int] = []
    done = threading.Event()

    def poll() -> None:
        last = False
        while not last:
            last = done.wait(_POLL_S)
            for child in multiprocessing.active_children():
                if child.pid is not None and child.pid not in known:
                    known.add(child.pid)
                    watch(child.pid, grace_s=grace_s)
                    seen.append(child.pid)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@contextmanager
def isolated_python() -> Iterator[None]:
    """Keep Python processes started within the context from importing from the current folder.

    For processes that other code starts, such as multiprocessing's, which search it first.
    """
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


class Child:
    """A process in its own session and process group, which end when this process ends.

    Args:
        command: Command line to run.
        grace_s: Seconds between SIGTERM and SIGKILL if this process ends first.
        options: Passed to `subprocess.Popen`.

    Raises:
        OSError: if the process cannot be started.

    Example:
        >>> child = Child([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        >>> child.end()
        -9
    """

    def __init__(self, command: list[str], *, grace_s: float = 0.0, **options: Any) -> None:
        self._owner = os.getpid()
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        try:
            watch(-self.process.pid, grace_s=grace_s)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """The process id, which is also the process group id."""
        return self.process.pid

    def kill(self) -> None:
        """Kill the process and its whole group; do not wait."""
        if self._owner == os.getpid():
            with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a zombie
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> int | None:
        """Kill the process and its whole group, and close its pipes.

        In a forked copy of the process that started it, only close the pipes.

        Returns:
            The exit code (negative for a signal), or None if the process cannot be waited for.
        """
        if self._owner == os.getpid():
            # Wait last: until then, the process id is not reused.
            self.kill()
            unwatch(-self.process.pid)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_REAP_S)
        else:
            self.process.returncode = 0  # only the parent can wait for it
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self.process.returncode if self._owner == os.getpid() else None
