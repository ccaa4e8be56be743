"""Starting a worker: isolated, with this package, the parent's import path, and limits."""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

#: Runs in an interpreter started with ``-I``, which imports nothing from the current folder,
#: PYTHONPATH or the user's site-packages. The package is imported from the same location as in the
#: parent process.
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
    """Return the command that starts a worker."""
    home = Path(__file__).absolute().parents[2]
    flags = ["-I", "-X", "faulthandler", *(["-B"] if sys.dont_write_bytecode else [])]
    return [sys.executable, *flags, "-c", _CODE, str(home)]


def setup(memory_mb: int | None) -> bytes:
    """Return a worker's first input line: import path and limits."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the current folder was deleted
        here = ""
    path = [os.path.abspath(entry) for entry in sys.path if here or os.path.isabs(entry)]
    return json.dumps({"path": path, "here": here, "memory_mb": memory_mb}).encode()


class ImportPath:
    """The import path of a worker.

    A built-in verifier is imported from the installation, then from the rest of the parent's path,
    but never from the current folder, where a file might be called ``json.py``. A user's function
    is imported as in the parent, and last from the current folder.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.here = settings["here"]
        own = list(sys.path)  # the installation, independent of the current folder
        self.parents = [e for e in settings["path"] if e in own or not self._is_here(e)]
        sys.path += [entry for entry in self.parents if entry not in own]

    def import_as_the_parent_does(self) -> None:
        """Use the parent's import path, for a user's function."""
        sys.path[:] = [*self.parents, *([self.here] if self.here else [])]

    def _is_here(self, entry: str) -> bool:
        return bool(self.here) and os.path.realpath(entry) == os.path.realpath(self.here)


def limit(memory_mb: int | None) -> None:
    """Restore the default signal handlers and limit the memory.

    On Linux the limit applies to allocated memory, not to mapped addresses: CUDA reserves more
    address space than any machine has memory.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _lower(resource.RLIMIT_CORE, 0)
    if memory_mb is not None:
        linux = sys.platform.startswith("linux")
        _lower(resource.RLIMIT_DATA if linux else resource.RLIMIT_AS, memory_mb * 1024 * 1024)


def _lower(limit_type: int, value: int) -> None:
    """Lower a resource limit; never raise it above the hard limit."""
    _, hard = resource.getrlimit(limit_type)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(limit_type, (value, value))
    except (OSError, ValueError):  # not supported by this system
        return
