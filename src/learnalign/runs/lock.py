"""One process a run folder: a lock on this machine, a lease in a store."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from learnalign.errors import LearnAlignError
from learnalign.runs.lease import leased
from learnalign.storage import files
from learnalign.storage.paths import is_remote


@contextmanager
def run_lock(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a run folder for this process; give a function that raises if it is no longer ours.

    Raises:
        LearnAlignError: at once, if another process holds it, or it cannot be written to.
    """
    who = f"process {os.getpid()} on {socket.gethostname()}"
    if is_remote(folder):
        with leased(folder, who) as check:
            yield check
        return
    with files.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        owner = folder / ".owner"
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            other = owner.read_text() if owner.exists() else "another process"
            raise LearnAlignError(
                f"{folder} is being worked on by {other}",
                expected="one process a run folder",
                do="wait until it has finished, or give another folder with --out",
            ) from error
    try:
        with files.explained(folder):
            owner.write_text(who)
        yield lambda: None
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
