"""A folder whose files are compared with the hashes in its manifest when they are first read."""

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

#: Tables that are made together with another: what --redo calls them.
_MADE_WITH = {"steps": "history"}


class CheckedFolder(ABC):
    """A folder whose files are compared with the hashes in its manifest when they are first read.

    Args:
        path: The folder.
        below: What --redo puts before a table's name where the folder is part of another run.

    Raises:
        LearnAlignError: if the manifest that lies there cannot be read by this version.
    """

    def __init__(self, path: Path, *, below: str) -> None:
        self.path, self.below = path, below
        self.manifest: Manifest = read_manifest(path / "manifest.json")
        self._unsaved = False
        # Files, with their hashes, that this object has found to be whole.
        self._whole: set[tuple[str, str]] = set()

    @abstractmethod
    def save(self) -> None:
        """Write the manifest."""

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table that is no stage's; the next manifest has its hash."""
        self.manifest.files[name] = files.write_table(self.path / name, table).sha256
        self._unsaved = True

    def read_table(self, name: str, *, do: str) -> pa.Table:
        """Read such a table.

        Args:
            name: Its path below the folder.
            do: What makes it again.

        Raises:
            LearnAlignError: if it is not the file that was written.
        """
        return self.whole_table(self.path / name, self.manifest.files.get(name, ""), do)

    def record(self, name: str) -> None:
        """Hash each file of a folder below, synced already; the next manifest has the hashes."""
        self._drop(name)
        for path in sorted((self.path / name).rglob("*")):
            if path.is_file():
                self.manifest.files[str(path.relative_to(self.path))] = files.sha256(path)
        self._unsaved = True

    def recorded(self, name: str) -> bool:
        """Say whether the manifest has files of a folder below."""
        return any(file.startswith(f"{name}/") for file in self.manifest.files)

    def verify(self, name: str, *, do: str) -> None:
        """Compare each file of a folder below with what the manifest has of it.

        Args:
            name: The folder's path below this one.
            do: What makes it again.

        Raises:
            LearnAlignError: if one is gone or is not what was written; it is named.
        """
        for file in [file for file in self.manifest.files if file.startswith(f"{name}/")]:
            path, expected = self.path / file, self.manifest.files[file]
            with self.intact(path, expected, do):
                if self.unless_known(path, expected) and files.sha256(path) != expected:
                    raise files.DamagedFileError("its contents are not those that were written")

    def discard_cached(self, *names: str) -> None:
        """Delete files and folders below, once the manifest on disk names them no more."""
        for name in names:
            self._drop(name)
        self.save()
        for name in names:
            path = self.path / name
            if files.is_file(path):
                path.unlink()
            else:
                remove_tree(path)

    def made_again(self, stage: str) -> str:
        """Say how a table is made again."""
        return (
            "run the command that made the folder once more, with "
            f"--redo {self.redo_name(stage)} (what came of it is made again too)"
        )

    def redo_name(self, stage: str) -> str:
        """Name a table as --redo of the command that made this folder does."""
        return self.below + _MADE_WITH.get(stage, stage)

    def whole_table(self, path: Path, expected: str, do: str) -> pa.Table:
        """Read a table whose hash is known; see `read_table`."""
        with self.intact(path, expected, do):
            return files.read_table(path, expected=self.unless_known(path, expected))

    def unless_known(self, path: Path, expected: str) -> str | None:
        """Give the hash to compare with; None if that was done, or there is none.

        What lies in a store is another copy each time that it is read.
        """
        known = (str(path), expected) in self._whole and not is_remote(path)
        return None if known or not expected else expected

    @contextmanager
    def intact(self, path: Path, expected: str, do: str) -> Iterator[None]:
        """Say of a file that is damaged which one it is, and what makes it again."""
        try:
            yield
        except (files.DamagedFileError, FileNotFoundError) as error:
            gone = isinstance(error, FileNotFoundError)
            raise damaged(path, "it is gone" if gone else str(error), do) from error
        self._whole.add((str(path), expected))

    def _drop(self, name: str) -> None:
        for file in list(self.manifest.files):
            if file == name or file.startswith(f"{name}/"):
                del self.manifest.files[file]


def damaged(path: Path, why: str, do: str) -> LearnAlignError:
    """Make the error of a file that is not the one that was written."""
    return LearnAlignError(
        f"{path} is not the file that was written: {why}",
        expected="files that nobody else and no fault of the disk has changed",
        do=do,
    )
