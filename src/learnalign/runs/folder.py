"""The run folder: one table a stage in Parquet shards, kept whole through any kill."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.runs.checked_folder import CheckedFolder, damaged
from learnalign.runs.fingerprints import differences, fingerprint
from learnalign.runs.lock import run_lock
from learnalign.runs.manifest import STAGES, Shard, StageRecord, read_manifest, write_manifest
from learnalign.storage import files
from learnalign.storage.folders import remove_leftovers, remove_matching, remove_tree
from learnalign.storage.paths import as_path, is_remote
from learnalign.tables import EXCLUDED

#: Where else this process alone writes while it holds the folder.
_OTHERS = ("", "excluded", "sources", "requests", "checkpoints")
#: The manifest is written again after this many times what the last writing took.
_REST = 10.0


class RunFolder(CheckedFolder):
    """A run's tables on disk, or in a store. Reading needs no lock; writing needs ``locked()``.

    Args:
        path: The folder, or its URL; made when first written to.
        stages: Its tables, in the order in which the data flows.
        below: What --redo puts before a table's name where the folder is part of another run
            (``warmup/``).

    Raises:
        LearnAlignError: if the manifest that lies there cannot be read by this version.
    """

    def __init__(
        self, path: str | Path, stages: tuple[str, ...] = STAGES, *, below: str = ""
    ) -> None:
        super().__init__(as_path(path), below=below)
        self.stages = stages
        self._still_ours: Callable[[], None] = lambda: None
        self._next_save = 0.0

    @classmethod
    def existing(cls, path: Path, *, needs: str = "problems") -> "RunFolder":
        """Open the folder of a run that has at least the whole table ``needs``."""
        folder = cls(path)
        record = folder.manifest.stages.get(needs)
        if record is None or not record.complete:
            raise LearnAlignError(
                f"{path} holds no finished table '{needs}'",
                expected="the folder of a run (--out of learnalign select)",
                do="run `learnalign select MODEL DATA --out ...` first, or check the path",
            )
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            LearnAlignError: at once, if another process holds it, or it cannot be written to.
        """
        with run_lock(self.path) as self._still_ours:
            if not is_remote(self.path):
                remove_leftovers(self.path / name for name in (*_OTHERS, *self.stages))
            self.manifest = read_manifest(self.path / "manifest.json")
            try:
                yield
            finally:
                if self._unsaved:
                    self.save()

    def begin(self, stage: str, options: Mapping[str, Any]) -> StageRecord:
        """Open a stage for writing, or go on with it where it was.

        Raises:
            LearnAlignError: if the table there was made with other options.
        """
        record = self.manifest.stages.get(stage)
        if record is None:
            record = StageRecord(fingerprint=fingerprint(options), options=dict(options))
            self.manifest.stages[stage] = record
            self.save()
        elif record.fingerprint != fingerprint(options):
            changed = differences(record.options, options)
            raise LearnAlignError(
                f"the table {self.path / stage} was made with other options: " + "; ".join(changed),
                expected="the options it was made with, or no old table",
                do=f"make it anew with --redo {self.redo_name(stage)} (later tables go with it), "
                "or give another folder with --out",
            )
        return record

    def discard_tables(self, stages: Collection[str]) -> None:
        """Delete tables, and the ranking that was computed from them."""
        for stage in stages:
            self.manifest.stages.pop(stage, None)
        self.manifest.summary = {}
        others = ["scores.parquet", *(["sources"] if "problems" in stages else [])]
        self.discard_cached(*others)
        for stage in stages:
            remove_tree(self.path / stage)
            remove_matching(self.path / "excluded", f"{stage}-*.parquet")

    def check_redo(self, stage: str) -> None:
        """See that --redo names a table.

        Raises:
            LearnAlignError: if it does not.
        """
        if stage not in self.stages:
            raise LearnAlignError(
                f"got --redo {self.below}{stage}",
                expected="one of " + ", ".join(self.below + name for name in self.stages),
                do="name one",
            )

    def write_shard(
        self,
        stage: str,
        index: int,
        table: pa.Table,
        *,
        seconds: float,
        tokens: int = 0,
        excluded: pa.Table | None = None,
    ) -> None:
        """Write one shard; it exists from the moment the manifest names it."""
        more: dict[str, Any] = {"seconds": seconds, "tokens": tokens, "excluded": excluded}
        self.add_shard(stage, index, self.put_shard(stage, index, table, **more))

    def put_shard(
        self,
        stage: str,
        index: int,
        table: pa.Table,
        *,
        seconds: float,
        tokens: int = 0,
        counts: Mapping[str, int] | None = None,
        excluded: pa.Table | None = None,
    ) -> Shard:
        """Write the files of one shard, and leave it to ``add_shard`` to say that it exists.

        Another process than the one that holds the folder may do this.
        """
        file = f"{stage}/part-{index:05d}.parquet"
        written = files.write_table(self.path / file, table)
        aside = None
        if excluded is not None and excluded.num_rows:
            aside = files.write_table(self.path / _excluded_file(stage, index), excluded)
        return Shard(
            file=file,
            rows=table.num_rows,
            bytes=written.bytes,
            sha256=written.sha256,
            seconds=round(seconds, 3),
            tokens=tokens,
            counts=dict(counts or {}),
            excluded=0 if excluded is None else excluded.num_rows,
            excluded_sha256="" if aside is None else aside.sha256,
        )

    def add_shard(self, stage: str, index: int, shard: Shard) -> None:
        """Enter a shard that has been written into the manifest.

        The manifest grows with every shard, and writing it takes a tenth of the time at most: a
        kill can lose the shards of the last moments.
        """
        self.manifest.stages[stage].shards[index] = shard
        self._unsaved = True
        self.save_due()

    def add_shards(self, index: int, shards: Mapping[str, Shard]) -> None:
        """Enter shards of several stages that belong together, all or none; they are saved then."""
        for stage, shard in shards.items():
            self.manifest.stages[stage].shards[index] = shard
        self.save()

    @property
    def saved(self) -> bool:
        """Whether the manifest on disk names all that has been entered."""
        return not self._unsaved

    def save_due(self) -> None:
        """Write the manifest, if it has changed and it is time."""
        if self._unsaved and time.monotonic() >= self._next_save:
            self.save()

    def save(self) -> None:
        """Write the manifest now: what replaces something must be named before that is deleted."""
        self._still_ours()
        begin = time.monotonic()
        write_manifest(self.path / "manifest.json", self.manifest)
        end = time.monotonic()
        self._unsaved, self._next_save = False, end + _REST * (end - begin)

    def finish(self, stage: str, **facts: object) -> None:
        """Mark a stage's table as whole; its files that the manifest does not name are deleted."""
        record = self.manifest.stages[stage]
        if record.complete and not facts:
            return
        record.complete = True
        record.facts.update(facts)
        self.save()
        named = {Path(shard.file).name for shard in record.shards.values()}
        remove_matching(self.path / stage, "part-*.parquet", but=named)
        aside = {
            Path(_excluded_file(stage, i)).name for i, s in record.shards.items() if s.excluded
        }
        remove_matching(self.path / "excluded", f"{stage}-*.parquet", but=aside)

    def set_summary(self, summary: dict[str, Any]) -> None:
        """Write the selection's figures into the manifest."""
        self.manifest.summary = summary
        self.save()

    def scores(self) -> pa.Table:
        """Read the ranking, ``scores.parquet``."""
        return self.read_table("scores.parquet", do=f"run `learnalign score {self.path}`")

    def num_shards(self, stage: str) -> int:
        """Count a stage's shards."""
        record = self.manifest.stages.get(stage)
        return len(record.shards) if record else 0

    def read_shard(self, stage: str, index: int) -> pa.Table:
        """Read one shard.

        Raises:
            LearnAlignError: if the file is gone or is not the one that was written.
        """
        return self.whole_table(*self._shard(stage, index), self.made_again(stage))

    def shards(self, stage: str) -> Iterator[pa.Table]:
        """Read a stage's shards one after the other, in order."""
        for index in sorted(self.manifest.stages[stage].shards):
            yield self.read_shard(stage, index)

    def batches(self, stage: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read columns of a stage's table from its beginning, a few MB at a time, in order."""
        for index in sorted(self.manifest.stages[stage].shards):
            path, expected = self._shard(stage, index)
            with self.intact(path, expected, self.made_again(stage)):
                known = self.unless_known(path, expected)
                yield from files.read_batches(path, columns, expected=known)

    def table(self, stage: str) -> pa.Table:
        """Read a stage's whole table into memory."""
        return pa.concat_tables(self.shards(stage))

    def excluded(self) -> pa.Table:
        """Read the problems that have left the pool so far, in the order of the stages."""
        tables = [
            self.whole_table(
                self.path / _excluded_file(stage, index),
                shard.excluded_sha256,
                self.made_again(stage),
            )
            for stage in self.stages
            if stage in self.manifest.stages
            for index, shard in sorted(self.manifest.stages[stage].shards.items())
            if shard.excluded
        ]
        return pa.concat_tables(tables) if tables else EXCLUDED.empty_table()

    def _shard(self, stage: str, index: int) -> tuple[Path, str]:
        """Give a shard's path and hash, if it has its size."""
        shard = self.manifest.stages[stage].shards[index]
        path = self.path / shard.file
        found = files.size(path)
        if found != shard.bytes:
            why = "it is gone" if found is None else f"{found} bytes of {shard.bytes}"
            raise damaged(path, why, self.made_again(stage))
        return path, shard.sha256


def _excluded_file(stage: str, index: int) -> str:
    return f"excluded/{stage}-{index:05d}.parquet"


def scored(path: Path) -> RunFolder:
    """Open the folder of a run that has been ranked."""
    folder = RunFolder.existing(path, needs="verdicts")
    if not (folder.manifest.summary and files.is_file(folder.path / "scores.parquet")):
        raise LearnAlignError(
            f"{path} has no scores yet",
            expected="a run that has been ranked",
            do=f"run `learnalign score {path} --budget K`",
        )
    return folder
