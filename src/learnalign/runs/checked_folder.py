"""A folder that checks each file against the manifest's hash on first read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.runs.manifest import Manifest, read_manifest
from learnalign.storage import files
from learnalign.storage.folders import remove_tree
from learnalign.storage.paths import is_remote

#: Tables that are written together with another one: the name --redo uses for both.
_WRITTEN_WITH = {"steps": "history"}


class CheckedFolder(ABC):
    """A folder that checks each file against the manifest's hash on first read.

    Args:
        path: The folder.
        below: Prefix of its table names in --redo if the folder is part of another run.

    Raises:
        LearnAlignError: if this version cannot read the folder's manifest.
    """

    def __init__(self, path: Path, *, below: str) -> None:
        self.path, self.below = path, below
        self.manifest: Manifest = read_manifest(path / "manifest.json")
        self._unsaved = False
        # (path, hash) of the files that this object has already checked.
        self._verified: set[tuple[str, str]] = set()

    @abstractmethod
    def save(self) -> None:
        """Write the manifest."""

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table that belongs to no stage; the next manifest includes its hash."""
        self.manifest.files[name] = files.write_table(self.path / name, table).sha256
        self._unsaved = True

    def read_table(self, name: str, *, do: str) -> pa.Table:
        """Read a table written by `write_table`.

        Args:
            name: Its path relative to the folder.
            do: How to recreate it, for the error message.

        Raises:
            LearnAlignError: if the file is missing or does not match its hash.
        """
        return self.whole_table(self.path / name, self.manifest.files.get(name, ""), do)

    def record(self, name: str) -> None:
        """Hash each file of a subfolder (already synced); the next manifest includes the hashes."""
        self._drop(name)
        for path in sorted((self.path / name).rglob("*")):
            if path.is_file():
                self.manifest.files[str(path.relative_to(self.path))] = files.sha256(path)
        self._unsaved = True

    def recorded(self, name: str) -> bool:
        """Return whether the manifest lists files of a subfolder."""
        return any(file.startswith(f"{name}/") for file in self.manifest.files)

    def verify(self, name: str, *, do: str) -> None:
        """Check each file of a subfolder against the manifest's hash.

        Args:
            name: The subfolder's path relative to this folder.
            do: How to recreate it, for the error message.

        Raises:
            LearnAlignError: names a file that is missing or does not match its hash.
        """
        for file in [file for file in self.manifest.files if file.startswith(f"{name}/")]:
            path, expected = self.path / file, self.manifest.files[file]
            with self.intact(path, expected, do):
                if self.hash_to_check(path, expected) and files.sha256(path) != expected:
                    raise files.DamagedFileError(files.CHANGED)

    def delete(self, *names: str) -> None:
        """Remove files and subfolders from the manifest on disk, then delete them."""
        for name in names:
            self._drop(name)
        self.save()
        for name in names:
            path = self.path / name
            if files.is_file(path):
                path.unlink()
            else:
                remove_tree(path)

    def redo_advice(self, stage: str) -> str:
        """Return the advice for an error message: how to recompute a table."""
        return (
            "run the command that created the folder again with "
            f"--redo {self.redo_name(stage)} (later tables are recomputed too)"
        )

    def redo_name(self, stage: str) -> str:
        """Return the name of a table in --redo of the command that created this folder."""
        return self.below + _WRITTEN_WITH.get(stage, stage)

    def whole_table(self, path: Path, expected: str, do: str) -> pa.Table:
        """Read a table and check it against ``expected``; see `read_table`."""
        with self.intact(path, expected, do):
            return files.read_table(path, expected=self.hash_to_check(path, expected))

    def hash_to_check(self, path: Path, expected: str) -> str | None:
        """Return the hash to check; None if the file was checked before or has no hash.

        A file in an object store is checked on every read: each read downloads a new copy.
        """
        known = (str(path), expected) in self._verified and not is_remote(path)
        return None if known or not expected else expected

    @contextmanager
    def intact(self, path: Path, expected: str, do: str) -> Iterator[None]:
        """Turn the error of a missing or damaged file into one with its path and what to do."""
        try:
            yield
        except (files.DamagedFileError, FileNotFoundError) as error:
            gone = isinstance(error, FileNotFoundError)
            raise damaged(path, "the file is missing" if gone else str(error), do) from error
        self._verified.add((str(path), expected))

    def _drop(self, name: str) -> None:
        for file in list(self.manifest.files):
            if file == name or file.startswith(f"{name}/"):
                del self.manifest.files[file]


def damaged(path: Path, why: str, do: str) -> LearnAlignError:
    """Create the error for a file that differs from the one that was written."""
    return LearnAlignError(
        f"{path} is not the file that was written: {why}",
        expected="files that have not been changed since",
        do=do,
    )
