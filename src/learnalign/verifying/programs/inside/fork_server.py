"""The first process of a sandbox: forks one process for each program, or one for the tests.

What programs usually import is loaded once, so that a fork costs a millisecond and a new
interpreter forty. Between two programs all other processes are killed and the private folders
emptied; a program can reach neither this process's memory nor the socket that it listens to.
"""

import ctypes
import importlib
import json
import os
import random
import shutil
import signal
import socket
import stat
import sys
import time
from contextlib import suppress
from typing import Any

from .limits import limit

#: Loaded before the first fork.
_COMMON = (
    *("ast", "bisect", "collections", "copy", "decimal", "fractions", "functools", "heapq"),
    *("itertools", "math", "operator", "re", "statistics", "string", "tempfile", "typing"),
)
_PR_SET_DUMPABLE = 4
#: Seconds to empty a sandbox; one that takes longer is not used again.
_CLEAN_S = 2.0
#: The folders that a program can write to.
_PRIVATE = ("/tmp", "/dev/shm")


def main() -> None:
    """Serve until the control socket closes."""
    control = socket.socket(fileno=os.dup(0))
    options = json.loads(control.recv(65_536))
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for number in (0, 1):
            os.dup2(nothing.fileno(), number)
    sys.path += options["packages"]
    sys.set_int_max_str_digits(0)
    for name in _COMMON:
        importlib.import_module(name)
    serves = importlib.import_module(f"{__package__}.{options['module']}")
    if options["isolated"]:
        # Other processes of this user cannot read or write this process's memory and descriptors.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    folders = _attributes() if options["isolated"] else {}
    control.send(b"ready")
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not descriptors:
            return
        child = os.fork()
        if child == 0:
            control.close()
            _become(serves, descriptors[0], options)
        os.close(descriptors[0])
        if not control.recv(16):  # the program has ended, or has to
            return
        status = _end(child, folders)
        if status is None:
            return
        control.send(str(status).encode())


def _become(serves: Any, descriptor: int, options: dict[str, Any]) -> None:
    """Turn a fork into the process of a program or of tests."""
    try:
        os.setsid()
        os.dup2(0, 2)
        random.seed(0)
        limit(options["memory_mb"], processes=options["isolated"])
        serves.main(socket.socket(fileno=descriptor), options)
    finally:
        os._exit(0)


def _end(child: int, folders: dict[str, tuple[int, list[str]]]) -> int | None:
    """End a program's processes and remove its files.

    Args:
        child: The program's process.
        folders: The private folders and their attributes; none outside a sandbox.

    Returns:
        Its exit status, negative for a signal; None if something is left.
    """
    deadline = time.monotonic() + _CLEAN_S
    if not folders:
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while _kill_others():
        if time.monotonic() > deadline:
            return None
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for folder, (mode, _) in folders.items():
        os.chmod(folder, mode)
        _empty(folder)
        os.utime(folder, (0, 0))
        if os.listdir(folder) or time.monotonic() > deadline:
            return None
    return status if _attributes() == folders else None


def _attributes() -> dict[str, tuple[int, list[str]]]:
    """Return the permissions and the names of extended attributes of the private folders."""
    return {
        folder: (stat.S_IMODE(os.stat(folder).st_mode), os.listxattr(folder)) for folder in _PRIVATE
    }


def _kill_others() -> bool:
    """Kill all processes except this one and the sandbox's init; return whether any was alive."""
    own = {"1", str(os.getpid())}
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    return any(
        name.isdecimal() and name not in own and _alive(name) for name in os.listdir("/proc")
    )


def _alive(process: str) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _empty(folder: str) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(OSError):
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.remove(path)
