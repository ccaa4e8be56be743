"""How a worker starts: isolated, with this package, the parent's import path, and limits."""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

#: Runs in an interpreter started with ``-I``: nothing of the current folder, of PYTHONPATH or of
#: the user's site-packages is imported. The package is found where its parent found it, whatever
#: else is installed.
_CODE = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

spec = PathFinder.find_spec("learnalign", [sys.argv[1]])
module = sys.modules["learnalign"] = module_from_spec(spec)
spec.loader.exec_module(module)
from learnalign.verifying.worker import main

main()
"""


def command() -> list[str]:
    """Give the command that starts a worker."""
    home = Path(__file__).absolute().parents[2]
    return [sys.executable, "-I", "-X", "faulthandler", "-c", _CODE, str(home)]


def setup(memory_mb: int | None) -> bytes:
    """Give the line that a worker reads first: where to import from, and what it may take."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the current folder was deleted
        here = ""
    found = [os.path.abspath(entry) for entry in sys.path if here or os.path.isabs(entry)]
    return json.dumps({"path": found, "here": here, "memory_mb": memory_mb}).encode()


class Place:
    """Where a worker imports from: the parent's path, without the current folder.

    The current folder comes last, and only for a function of the user's: a file there called
    ``json.py`` is no part of a verifier.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.here = told["here"]
        own = set(sys.path)  # a folder of the installation stays, wherever the user stands
        sys.path[:] = [e for e in told["path"] if e in own or not self._is_here(e)]

    def add_current_folder(self) -> None:
        """Let modules be imported from the current folder, if they are nowhere else."""
        if self.here and self.here not in sys.path:
            sys.path.append(self.here)

    def _is_here(self, entry: str) -> bool:
        return bool(self.here) and os.path.realpath(entry) == os.path.realpath(self.here)


def limit(memory_mb: int | None) -> None:
    """Take the default reaction to signals, whatever the parent ignored, and limit the memory.

    Linux counts what the process itself allocates, not what it maps: CUDA reserves more addresses
    than any machine has memory.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _lower(resource.RLIMIT_CORE, 0)
    if memory_mb is not None:
        linux = sys.platform.startswith("linux")
        _lower(resource.RLIMIT_DATA if linux else resource.RLIMIT_AS, memory_mb * 1024 * 1024)


def _lower(what: int, value: int) -> None:
    """Lower a limit; never raise one that is lower already."""
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(what, (value, value))
    except (OSError, ValueError):  # a system that knows no such limit
        return
