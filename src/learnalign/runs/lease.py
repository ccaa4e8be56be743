"""A lease: who works on a run folder in a store, renewed while it does, taken over when it is not.

The object ``.owner`` says who holds the folder, and a token nobody else has. It is created only
where there is none (the store decides between two who try at once), written again every `RENEW_S`
seconds, and deleted at the end. A process that died leaves one that grows old: how old is what the
store's own clock says, by comparison with an object written now. One object holds one token, so of
two processes at most one finds its own there, and the other stops before it writes the manifest.
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

#: Seconds between two renewals, and those after which a lease that was not renewed is over.
RENEW_S, STALE_S = 20.0, 120.0
#: Seconds in which two who have both created the object, in a store that lets them, find out.
SETTLE_S = 2.0
_TRIES = 3


@contextmanager
def leased(folder: Path, who: str) -> Iterator[Callable[[], None]]:
    """Hold a folder in a store; give a function that raises if another has taken it over.

    Args:
        folder: Its address.
        who: What a second process is told.

    Raises:
        LearnAlignError: at once, if another process holds it, or the store refuses.
    """
    lease = Lease(folder, who)
    with store_errors(folder):
        lease.take()
    stop = threading.Event()
    # A daemon: it does not keep a process alive whose work has ended.
    renewing = threading.Thread(target=lease.keep, args=(stop,), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease.check
    finally:
        stop.set()
        renewing.join(timeout=SETTLE_S)
        with suppress(Exception):  # a lease that cannot be given back grows old
            lease.give_back()


class Lease:
    """One process's claim on a folder in a store."""

    def __init__(self, folder: Path, who: str) -> None:
        place: Any = folder / ".owner"
        self.folder, self.who, self.token = folder, who, uuid.uuid4().hex
        self.store, self.object = place.fs, place.path

    def take(self) -> None:
        """Create the lease, or write it over one that has grown old."""
        for _ in range(_TRIES):
            who, token = self.holder()
            if token is None:
                taken = self._created(self.object)
            else:
                age = self._age(self.object)
                if age is not None and age < STALE_S:
                    raise LearnAlignError(
                        f"{self.folder} is being worked on by {who}, last heard of {age:.0f} s ago",
                        expected="one process a run folder",
                        do="wait until it has finished, or give another folder with --out; if it "
                        f"has died, the folder is free in {STALE_S - age:.0f} s",
                    )
                taken = self._taken_over(token)
            if taken and self._stays():
                return
        raise LearnAlignError(
            f"{self.folder} is being taken by another process",
            expected="one process a run folder",
            do="wait until it has finished, or give another folder with --out",
        )

    def keep(self, stop: threading.Event) -> None:
        """Renew the lease until it is over, or another has it."""
        while not stop.wait(RENEW_S):
            # A store that does not answer now may do so the next time; ``check`` says so aloud.
            with suppress(Exception):
                if self.holder()[1] != self.token:
                    return
                self.store.pipe_file(self.object, self._text())

    def check(self) -> None:
        """Ask the store whether the lease is still ours.

        Raises:
            LearnAlignError: if it is not, or the store does not answer.
        """
        with store_errors(self.folder):
            who, token = self.holder()
        if token != self.token:
            raise LearnAlignError(
                f"{self.folder} has been taken over by {who or 'somebody who deleted .owner'}",
                expected=f"a lease that is renewed within {STALE_S:.0f} s",
                do="let the other finish, or stop it and run the same command: it goes on from "
                "there",
            )

    def give_back(self) -> None:
        """Delete the lease, if it is ours."""
        if self.holder()[1] == self.token:
            self._delete(self.object)

    def holder(self) -> tuple[str, str | None]:
        """Read who holds the folder, and the token; None if nobody does."""
        try:
            text = self.store.cat_file(self.object).decode("utf-8", "replace")
        except FileNotFoundError:
            return "", None
        who, _, token = text.partition("\n")
        return who, token.strip()

    def _created(self, name: str) -> bool:
        """Create an object where there is none; False if there is one."""
        if self.store.exists(name):
            return False
        try:
            self.store.pipe_file(name, self._text(), mode="create")
        except OSError:  # each store has its own word for "there already"
            if not self.store.exists(name):
                raise
            return False
        return True

    def _taken_over(self, token: str) -> bool:
        """Write our token over an old one; one process at a time may, and the others look again."""
        turn = f"{self.object}-turn"
        if not self._created(turn):
            age = self._age(turn)
            if age is not None and age >= STALE_S:  # its process died at this very place
                self._delete(turn)
            return False
        try:
            if self.holder()[1] != token:
                return False
            self.store.pipe_file(self.object, self._text())
            return True
        finally:
            self._delete(turn)

    def _stays(self) -> bool:
        """Say whether the object is ours, also in a store that creates what is there already."""
        try:
            self.store.pipe_file(self.object, self._text(), mode="create")
        except OSError:
            pass
        else:
            time.sleep(SETTLE_S)  # until every other who believes so has written; the last has it
        return self.holder()[1] == self.token

    def _age(self, name: str) -> float | None:
        """Give the seconds since it was written, by the store's clock; None if it is gone."""
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
