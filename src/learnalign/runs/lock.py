"""One process per run folder: a lock on this machine, a lease in an object store."""

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
    """Lock a run folder for this process; yield a function that raises if the lock is lost.

    Raises:
        LearnAlignError: at once, if another process holds the lock or the folder is not writable.
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
                f"{folder} is in use by {other}",
                expected="one process per run folder",
                do="wait until it has finished, or choose another folder with --out",
            ) from error
    try:
        with files.explained(folder):
            owner.write_text(who)
        yield lambda: None
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
