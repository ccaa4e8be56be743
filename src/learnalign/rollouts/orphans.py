"""Ending processes that would outlive this one, however it ends.

vLLM's engine is a process of its own. If its parent is killed it stays, and with it the memory of
its device: the run could not go on. So a small process waits at a pipe from here; when the pipe
closes, because this process has closed it or is no more, it ends the others.
"""

import subprocess
import sys
from collections.abc import Iterable

#: What the small process runs: it waits for the end of its input, asks, and after 20 s insists.
_WATCH = """
import os, signal, sys, time

sys.stdin.buffer.read()
left = [int(text) for text in sys.argv[1:]]
begin = time.monotonic()
for number in (signal.SIGTERM, signal.SIGKILL):
    for pid in list(left):
        try:
            os.kill(pid, number)
        except OSError:
            left.remove(pid)
    while left and time.monotonic() - begin < 20:
        time.sleep(0.1)
        for pid in list(left):
            try:
                os.kill(pid, 0)
            except OSError:
                left.remove(pid)
"""


class Watch:
    """Ends processes when this one ends.

    Args:
        pids: Processes that must not live on. Start the watch after them: a process that was
            forked from this one later may keep the pipe open until it ends too.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _WATCH, *map(str, pids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for this process; the watch ends after it
        )

    def stop(self) -> None:
        """Watch no longer; the processes are left alone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
