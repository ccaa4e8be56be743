"""Processes that do not outlive this one, however it ends.

A small process, the watcher, waits at a pipe that this process alone holds. Whatever closes the
pipe (a normal end, a signal, ``kill -9``), the watcher then ends the processes that are still on
its list. A thread inside the child could not do it (one long call into C holds up all its threads),
and the system's own way, a parent-death signal, is Linux's alone and follows the parent's thread.
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

#: What the watcher runs. Each line is "+ TARGET SECONDS" or "- TARGET 0"; a negative target is a
#: process group. At the end of the input a target has so many seconds to end by itself.
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
#: Seconds between two looks for new processes.
_LOOK_S = 0.1
#: Python's own switch.
_SAFE = "PYTHONSAFEPATH"
#: A process that was killed is waited for so long; one that hangs in the system stays a zombie.
_REAP_S = 10.0


class _Watcher:
    """The list of processes that end with this one; the watcher runs while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[int, float] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, target: int, grace_s: float) -> None:
        with self._lock:
            self._targets[target] = grace_s
            self._tell(f"+ {target} {grace_s}\n")

    def remove(self, target: int) -> None:
        with self._lock:
            if self._targets.pop(target, None) is None:
                return
            self._tell(f"- {target} 0\n")
            if not self._targets:
                self._stop()

    def discard_cached(self) -> None:
        """Let go of the parent's pipe, in a forked child: the pipe closes with the parent."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.returncode = 0  # it is the parent's to wait for

    def _tell(self, line: str) -> None:
        if self._process is not None:
            try:
                self._write(line)
                return
            except BrokenPipeError:  # somebody ended the watcher: another one takes over
                self._stop()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in a terminal is for this process
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
    _watcher.discard_cached()
    _watcher = _Watcher()


os.register_at_fork(after_in_child=_new_watcher)


def watch(pid: int, *, grace_s: float = 0.0) -> None:
    """See to it that a process ends when this one does.

    Args:
        pid: The process; a negative number is that of a process group.
        grace_s: Seconds it has between SIGTERM and SIGKILL; 0 kills it at once.
    """
    _watcher.add(pid, grace_s)


def unwatch(pid: int) -> None:
    """Leave a process alone when this one ends; do so before it is waited for."""
    _watcher.remove(pid)


@contextmanager
def watching_new(grace_s: float) -> Iterator[list[int]]:
    """Watch the processes that `multiprocessing` starts meanwhile, from their start on.

    Args:
        grace_s: See `watch`.

    Yields:
        Their numbers, which grow as they are seen.
    """
    known = {child.pid for child in multiprocessing.active_children()}
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        last = False
        while not last:
            last = over.wait(_LOOK_S)
            for child in multiprocessing.active_children():
                if child.pid is not None and child.pid not in known:
                    known.add(child.pid)
                    watch(child.pid, grace_s=grace_s)
                    seen.append(child.pid)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def isolated_python() -> Iterator[None]:
    """Start Python processes that import nothing from the current folder, meanwhile.

    For those that somebody else starts, such as multiprocessing's, which would look there first.
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
    """A process with a session and a group of its own, which end when this process does.

    Args:
        command: What to run.
        grace_s: Seconds the group has between SIGTERM and SIGKILL if this process ends first.
        options: Of `subprocess.Popen`.

    Raises:
        OSError: if it cannot be started.

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
        """Its process id, which is that of its group too."""
        return self.process.pid

    def kill(self) -> None:
        """Kill the process and its whole group; do not wait."""
        if self._owner == os.getpid():
            with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a zombie
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> int | None:
        """Kill the process and its whole group, and close its pipes.

        In a forked copy of the process that started it, only the pipes are closed.

        Returns:
            Its exit code, a signal's number negative; None if it cannot be waited for.
        """
        if self._owner == os.getpid():
            # In this order: while nobody has waited for the process, its number is not used again.
            self.kill()
            unwatch(-self.process.pid)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_REAP_S)
        else:
            self.process.returncode = 0  # it is the parent's to wait for
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self.process.returncode if self._owner == os.getpid() else None
