"""The run folder: one table per stage in Parquet shards, consistent after any kill."""

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
from learnalign.terminal.commands import command_line

#: Other subfolders that only the process holding the lock writes to.
_OTHERS = ("", "excluded", "sources", "requests", "checkpoints", "audit")
#: Time between two manifest writes, as a multiple of how long the last one took.
_PAUSE_FACTOR = 10.0


class RunFolder(CheckedFolder):
    """A run's tables on disk or in an object store. Reading needs no lock; writing: ``locked()``.

    Args:
        path: The folder or its URL; created on the first write.
        stages: Its tables, in the order of the data flow.
        below: Prefix of its table names in --redo if the folder is part of another run
            (``warmup/``).

    Raises:
        LearnAlignError: if this version cannot read the folder's manifest.
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
        """Open the folder of a run whose table ``needs`` is complete."""
        folder = cls(path)
        record = folder.manifest.stages.get(needs)
        if record is None or not record.complete:
            raise LearnAlignError(
                f"{path} has no finished table '{needs}'",
                expected="the folder of a run (--out of learnalign select)",
                do="run `learnalign select MODEL DATA --out ...` first, or check the path",
            )
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process.

        Raises:
            LearnAlignError: at once, if another process holds the lock or the folder is not
                writable.
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
        """Open a stage for writing, or resume it.

        A stage that wrote nothing, because its options were wrong, may begin again with others.

        Raises:
            LearnAlignError: if the existing table was computed with other options.
        """
        record = self.manifest.stages.get(stage)
        wanted = fingerprint(options)
        changes = record is not None and record.fingerprint != wanted
        if record is None or (changes and not record.shards and not record.complete):
            record = StageRecord(fingerprint=wanted, options=dict(options))
            self.manifest.stages[stage] = record
            self.save()
        elif changes:
            changed = differences(record.options, options)
            raise LearnAlignError(
                f"the table {self.path / stage} was computed with other options: "
                + "; ".join(changed),
                expected="the same options as before, or no existing table",
                do=f"recompute it with --redo {self.redo_name(stage)} (and what depends on it), "
                "or choose another folder with --out",
            )
        return record

    def discard_tables(self, stages: Collection[str]) -> None:
        """Delete tables, and the ranking and the audit that were computed from them."""
        for stage in stages:
            self.manifest.stages.pop(stage, None)
        self.manifest.summary = {}
        others = ["scores.parquet", *(["sources"] if "problems" in stages else [])]
        others += ["audit"] if "verdicts" in stages else []
        self.delete(*others)
        for stage in stages:
            remove_tree(self.path / stage)
            remove_matching(self.path / "excluded", f"{stage}-*.parquet")

    def check_redo(self, stage: str) -> None:
        """Check that --redo names a table.

        Raises:
            LearnAlignError: if it does not.
        """
        if stage not in self.stages:
            raise LearnAlignError(
                f"got --redo {self.below}{stage}",
                expected="one of " + ", ".join(self.below + name for name in self.stages),
                do="correct the name",
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
        """Write the files of one shard; it counts only after ``add_shard``.

        A process that does not hold the lock may call this.
        """
        file = f"{stage}/part-{index:05d}.parquet"
        written = files.write_table(self.path / file, table)
        excluded_file = None
        if excluded is not None and excluded.num_rows:
            excluded_file = files.write_table(self.path / _excluded_file(stage, index), excluded)
        return Shard(
            file=file,
            rows=table.num_rows,
            bytes=written.bytes,
            sha256=written.sha256,
            seconds=round(seconds, 3),
            tokens=tokens,
            counts=dict(counts or {}),
            excluded=0 if excluded is None else excluded.num_rows,
            excluded_sha256="" if excluded_file is None else excluded_file.sha256,
        )

    def add_shard(self, stage: str, index: int, shard: Shard) -> None:
        """Add a written shard to the manifest.

        The manifest grows with every shard, so at most a tenth of the time is spent writing it: a
        kill can lose the most recent shards.
        """
        self.manifest.stages[stage].shards[index] = shard
        self._unsaved = True
        self.save_due()

    def add_shards(self, index: int, shards: Mapping[str, Shard]) -> None:
        """Add shards of several stages that belong together, all or none, and save."""
        for stage, shard in shards.items():
            self.manifest.stages[stage].shards[index] = shard
        self.save()

    @property
    def saved(self) -> bool:
        """Whether the manifest on disk is up to date."""
        return not self._unsaved

    def save_due(self) -> None:
        """Write the manifest if it has changed and a write is due."""
        if self._unsaved and time.monotonic() >= self._next_save:
            self.save()

    def save(self) -> None:
        """Write the manifest now: a replacement must be listed before the old file is deleted."""
        self._still_ours()
        begin = time.monotonic()
        write_manifest(self.path / "manifest.json", self.manifest)
        end = time.monotonic()
        self._unsaved, self._next_save = False, end + _PAUSE_FACTOR * (end - begin)

    def finish(self, stage: str, **facts: object) -> None:
        """Mark a stage's table as complete, and delete its files that are not in the manifest."""
        record = self.manifest.stages[stage]
        if record.complete and not facts:
            return
        record.complete = True
        record.facts.update(facts)
        self.save()
        named = {Path(shard.file).name for shard in record.shards.values()}
        remove_matching(self.path / stage, "part-*.parquet", keep=named)
        excluded = {
            Path(_excluded_file(stage, i)).name for i, s in record.shards.items() if s.excluded
        }
        remove_matching(self.path / "excluded", f"{stage}-*.parquet", keep=excluded)

    def set_summary(self, summary: dict[str, Any]) -> None:
        """Write the selection's summary to the manifest."""
        self.manifest.summary = summary
        self.save()

    def scores(self) -> pa.Table:
        """Read the ranking, ``scores.parquet``."""
        do = f"run `{command_line('score', self.path)}`"
        return self.read_table("scores.parquet", do=do)

    def num_shards(self, stage: str) -> int:
        """Count a stage's shards."""
        record = self.manifest.stages.get(stage)
        return len(record.shards) if record else 0

    def read_shard(self, stage: str, index: int) -> pa.Table:
        """Read one shard.

        Raises:
            LearnAlignError: if the file is missing or damaged.
        """
        return self.whole_table(*self._shard(stage, index), self.redo_advice(stage))

    def shards(self, stage: str) -> Iterator[pa.Table]:
        """Iterate over a stage's shards in order."""
        for index in sorted(self.manifest.stages[stage].shards):
            yield self.read_shard(stage, index)

    def batches(self, stage: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate over columns of a stage's table in order, a few MB at a time."""
        for index in sorted(self.manifest.stages[stage].shards):
            path, expected = self._shard(stage, index)
            with self.intact(path, expected, self.redo_advice(stage)):
                known = self.hash_to_check(path, expected)
                yield from files.read_batches(path, columns, expected=known)

    def table(self, stage: str) -> pa.Table:
        """Read a stage's whole table into memory."""
        return pa.concat_tables(self.shards(stage))

    def excluded(self) -> pa.Table:
        """Read the problems that have left the pool so far, by stage."""
        tables = [
            self.whole_table(
                self.path / _excluded_file(stage, index),
                shard.excluded_sha256,
                self.redo_advice(stage),
            )
            for stage in self.stages
            if stage in self.manifest.stages
            for index, shard in sorted(self.manifest.stages[stage].shards.items())
            if shard.excluded
        ]
        return pa.concat_tables(tables) if tables else EXCLUDED.empty_table()

    def _shard(self, stage: str, index: int) -> tuple[Path, str]:
        """Return a shard's path and hash; raise if its size is wrong."""
        shard = self.manifest.stages[stage].shards[index]
        path = self.path / shard.file
        size = files.size(path)
        if size != shard.bytes:
            why = "the file is missing" if size is None else f"{size} bytes of {shard.bytes}"
            raise damaged(path, why, self.redo_advice(stage))
        return path, shard.sha256


def _excluded_file(stage: str, index: int) -> str:
    return f"excluded/{stage}-{index:05d}.parquet"


def scored(path: Path) -> RunFolder:
    """Open the folder of a run with a ranking."""
    folder = RunFolder.existing(path, needs="verdicts")
    if not (folder.manifest.summary and files.is_file(folder.path / "scores.parquet")):
        raise LearnAlignError(
            f"{path} has no scores yet",
            expected="a run with a ranking",
            do=f"run `{command_line('score', path, '--budget', 'K')}`",
        )
    return folder
