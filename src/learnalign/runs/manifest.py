"""The manifest of a run folder: its shards, the options behind them, and their cost."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from learnalign.errors import LearnAlignError
from learnalign.storage import files
from learnalign.storage.paths import is_remote
from learnalign.tables import SCHEMA_VERSION

#: Stage names of the rounds in which rollouts can be sampled.
ROUND_NAMES = ("round-1", "round-2", "round-3", "round-4")
#: The stages that write shards, in the order of the data flow.
STAGES = ("problems", *ROUND_NAMES, "rollouts", "verdicts", "references", "gradients", "features")
#: The tables of a training's folder.
TRAINING_TABLES = ("problems", "history", "steps")
#: A manifest's own hash, which is computed with zeros in its place.
_OWN_HASH = re.compile(rb'\A\{\n "sha256": "([0-9a-f]{64})"')
_ZEROS = "0" * 64
#: Copy of the previous manifest.
_BEFORE = ".manifest-before.json"


class Shard(BaseModel):
    """One file of a stage's table."""

    model_config = ConfigDict(extra="forbid")

    file: str
    """Path relative to the run folder."""
    rows: int
    bytes: int
    sha256: str
    seconds: float
    """Wall-clock seconds it took to compute the shard."""
    tokens: int = 0
    """Tokens sampled or differentiated; 0 for stages without tokens."""
    counts: dict[str, int] = {}
    """Counts about its rollouts, for warnings (`rollouts.answers`)."""
    excluded: int = 0
    """Problems that left the pool in this shard; listed in ``excluded/<stage>-<index>.parquet``."""
    excluded_sha256: str = ""
    """Hash of that file; empty without one."""


class StageRecord(BaseModel):
    """One stage's table: its options and its shards by index."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str
    """Hash of everything the table's contents depend on."""
    options: dict[str, Any]
    """The options behind the fingerprint, flat (``rollouts.temperature``), for messages."""
    shards: dict[int, Shard] = {}
    complete: bool = False
    facts: dict[str, Any] = {}
    """Information about how the stage ran, e.g. the device and dtype."""


class Manifest(BaseModel):
    """``manifest.json``: a shard that is not listed here does not count."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = ""
    """Hash of the manifest itself; see `write_manifest`."""
    schema_version: int = SCHEMA_VERSION
    learnalign: str = ""
    """Version of LearnAlign that last wrote it."""
    stages: dict[str, StageRecord] = {}
    files: dict[str, str] = {}
    """SHA-256 of files that are not shards, by path relative to the run folder."""
    summary: dict[str, Any] = {}
    """Summary of the selection; empty before there is one."""

    def plain(self) -> dict[str, Any]:
        """Return the manifest as plain data, as in its JSON."""
        tree: dict[str, Any] = json.loads(self.model_dump_json())
        return tree


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; return an empty one if the file does not exist.

    Raises:
        LearnAlignError: if the file is damaged or has another schema version.
    """
    if files.size(path) is None:
        return Manifest()
    data = files.read_bytes(path)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise _unreadable(path, error.errors()[0]["msg"]) from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise LearnAlignError(
            f"{path} has schema version {manifest.schema_version}",
            expected=f"version {SCHEMA_VERSION}, which this LearnAlign reads and writes",
            do="choose another folder with --out, or install the version that wrote it "
            f"({manifest.learnalign or 'unknown'})",
        )
    if manifest.sha256:  # manifests of earlier versions have none
        match = _OWN_HASH.match(data)
        start, end = match.span(1) if match else (0, 0)
        zeroed = data[:start] + _ZEROS.encode() + data[end:]
        if hashlib.sha256(zeroed).hexdigest() != manifest.sha256:
            raise _unreadable(path, files.CHANGED)
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest atomically, with its own hash; on a disk, keep the previous one.

    The hash is computed with 64 zeros in its place.
    """
    text = manifest.model_copy(update={"sha256": _ZEROS}).model_dump_json(indent=1) + "\n"
    own = hashlib.sha256(text.encode()).hexdigest()
    if not is_remote(path):
        _keep_previous(path)
    files.write_text(path, text.replace(_ZEROS, own, 1))


def _keep_previous(path: Path) -> None:
    """Keep the existing manifest under another name."""
    if not path.exists():
        return
    before = path.with_name(_BEFORE)
    temporary = files.temporary_name(before)
    with files.explained(before):
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
        temporary.replace(before)
        temporary.unlink(missing_ok=True)  # still there if both were the same file


def _unreadable(path: Path, why: str) -> LearnAlignError:
    before = path.with_name(_BEFORE)
    restore = f"copy {before} over it and run the same command: existing shards are kept, only the "
    restore += "most recent ones are computed again"
    kept = not is_remote(path) and before.exists()
    return LearnAlignError(
        f"{path} is not a manifest this version can read: {why}",
        expected="the manifest that LearnAlign wrote",
        do=restore if kept else "choose another folder with --out",
    )
