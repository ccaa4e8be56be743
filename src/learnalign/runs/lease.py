"""A lease on a run folder in an object store: renewed by its process, taken over when it expires.

The object ``.owner`` names the process that holds the folder and its unique token. A process
creates it only if it does not exist (the store decides between two concurrent attempts), rewrites
it every `RENEW_S` seconds and deletes it at the end. The lease of a dead process expires: its age
is measured by the store's clock, relative to an object written now. The object holds one token, so
at most one of two processes finds its own, and the other stops before it writes the manifest.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from learnalign.errors import LearnAlignError
from learnalign.storage.paths import store_errors

#: Seconds between two renewals, and seconds without a renewal after which a lease expires.
RENEW_S, STALE_S = 20.0, 120.0
#: Seconds to wait for a concurrent writer, in stores that do not support exclusive creation.
SETTLE_S = 2.0
_TRIES = 3


@contextmanager
def leased(folder: Path, who: str) -> Iterator[Callable[[], None]]:
    """Hold a folder in an object store; yield a function that raises if the lease is lost.

    Args:
        folder: Its URL.
        who: Name of this process, for the error message of a second one.

    Raises:
        LearnAlignError: at once, if another process holds the lease or the store denies access.
    """
    lease = Lease(folder, who)
    with store_errors(folder):
        lease.take()
    stop = threading.Event()
    # A daemon thread, so that it does not keep a finished process alive.
    renewing = threading.Thread(target=lease.keep, args=(stop,), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease.check
    finally:
        stop.set()
        renewing.join(timeout=SETTLE_S)
        with suppress(Exception):  # a lease that cannot be released expires
            lease.release()


class Lease:
    """One process's claim on a folder in an object store."""

    def __init__(self, folder: Path, who: str) -> None:
        path: Any = folder / ".owner"
        self.folder, self.who, self.token = folder, who, uuid.uuid4().hex
        self.store, self.object = path.fs, path.path

    def take(self) -> None:
        """Create the lease, or take over an expired one."""
        for _ in range(_TRIES):
            who, token = self.holder()
            if token is None:
                taken = self._created(self.object)
            else:
                age = self._age(self.object)
                if age is not None and age < STALE_S:
                    raise LearnAlignError(
                        f"{self.folder} is in use by {who}, last renewed {age:.0f} s ago",
                        expected="one process per run folder",
                        do="wait until it has finished, or choose another folder with --out; if "
                        f"the process is dead, its lease expires in {STALE_S - age:.0f} s",
                    )
                taken = self._take_over(token)
            if taken and self._is_ours():
                return
        raise LearnAlignError(
            f"another process is taking {self.folder}",
            expected="one process per run folder",
            do="wait until it has finished, or choose another folder with --out",
        )

    def keep(self, stop: threading.Event) -> None:
        """Renew the lease until ``stop`` is set or another process has taken it over."""
        while not stop.wait(RENEW_S):
            # The store may be back at the next renewal; ``check`` raises if it is not.
            with suppress(Exception):
                if self.holder()[1] != self.token:
                    return
                self.store.pipe_file(self.object, self._text())

    def check(self) -> None:
        """Check with the store that the lease is still ours.

        Raises:
            LearnAlignError: if it is not, or if the store is not available.
        """
        with store_errors(self.folder):
            who, token = self.holder()
        if token != self.token:
            raise LearnAlignError(
                f"{self.folder} was taken over by {who}"
                if who
                else f"{self.folder}/.owner was deleted",
                expected=f"a lease that is renewed within {STALE_S:.0f} s",
                do="let the other process finish, or stop it and run the same command to resume",
            )

    def release(self) -> None:
        """Delete the lease if it is ours."""
        if self.holder()[1] == self.token:
            self._delete(self.object)

    def holder(self) -> tuple[str, str | None]:
        """Return who holds the folder and the token; ("", None) if the folder is free."""
        try:
            text = self.store.cat_file(self.object).decode("utf-8", "replace")
        except FileNotFoundError:
            return "", None
        who, _, token = text.partition("\n")
        return who, token.strip()

    def _created(self, name: str) -> bool:
        """Create an object; return False if it exists."""
        if self.store.exists(name):
            return False
        try:
            self.store.pipe_file(name, self._text(), mode="create")
        except OSError:  # each store has its own error for an existing object
            if not self.store.exists(name):
                raise
            return False
        return True

    def _take_over(self, token: str) -> bool:
        """Replace an expired token with ours; one process at a time may, the others try again."""
        turn = f"{self.object}-turn"
        if not self._created(turn):
            age = self._age(turn)
            if age is not None and age >= STALE_S:  # its process died inside this function
                self._delete(turn)
            return False
        try:
            if self.holder()[1] != token:
                return False
            self.store.pipe_file(self.object, self._text())
            return True
        finally:
            self._delete(turn)

    def _is_ours(self) -> bool:
        """Return whether the object is ours, also in a store without exclusive creation."""
        try:
            self.store.pipe_file(self.object, self._text(), mode="create")
        except OSError:
            pass
        else:
            time.sleep(SETTLE_S)  # until concurrent processes have written; the last one wins
        return self.holder()[1] == self.token

    def _age(self, name: str) -> float | None:
        """Return the seconds since an object was written, by the store's clock; None if missing."""
        probe = f"{self.object}-{self.token}"
        self.store.pipe_file(probe, b"now")
        try:
            now, then = self.store.modified(probe), self.store.modified(name)
        except FileNotFoundError:
            return None
        finally:
            self._delete(probe)
        return max(0.0, float((now - then).total_seconds()))

    def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.store.rm_file(name)

    def _text(self) -> bytes:
        return f"{self.who}\n{self.token}\n".encode()
