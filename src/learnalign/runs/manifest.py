"""The manifest of a run folder: which shards exist, what made them, what they cost."""

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

#: The rounds in which rollouts may be spent.
ROUND_NAMES = ("round-1", "round-2", "round-3", "round-4")
#: The stages that keep shards, in the order in which the data flows.
STAGES = ("problems", *ROUND_NAMES, "rollouts", "verdicts", "references", "gradients", "features")
#: The tables of a training's folder.
TRAINING_TABLES = ("problems", "history", "steps")
#: Where a manifest says its own hash, which is taken with zeros in that place.
_OWN_HASH = re.compile(rb'\A\{\n "sha256": "([0-9a-f]{64})"')
_ZEROS = "0" * 64
#: The manifest of the writing before.
_BEFORE = ".manifest-before.json"


class Shard(BaseModel):
    """One file of a stage's table."""

    model_config = ConfigDict(extra="forbid")

    file: str
    """Path below the run folder."""
    rows: int
    bytes: int
    sha256: str
    seconds: float
    """Wall-clock seconds the shard took to make."""
    tokens: int = 0
    """Tokens the shard sampled or differentiated; 0 where a stage has none."""
    counts: dict[str, int] = {}
    """What there is to say of its rollouts, in numbers (`rollouts.answers`)."""
    excluded: int = 0
    """Problems that left the pool in this shard; listed in ``excluded/<stage>-<index>.parquet``."""
    excluded_sha256: str = ""
    """Of that file; empty if there is none."""


class StageRecord(BaseModel):
    """One stage's table: its options, and its shards by index."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str
    """Hash of everything that the table's contents depend on."""
    options: dict[str, Any]
    """The options behind the fingerprint, flat (``rollouts.temperature``), for messages."""
    shards: dict[int, Shard] = {}
    complete: bool = False
    facts: dict[str, Any] = {}
    """What the stage found out about itself, e.g. the device and dtype it ran with."""


class Manifest(BaseModel):
    """``manifest.json``: a shard that is not in it is as if never begun."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = ""
    """Of the manifest itself; see `write_manifest`."""
    schema_version: int = SCHEMA_VERSION
    learnalign: str = ""
    """Version of LearnAlign that wrote it last."""
    stages: dict[str, StageRecord] = {}
    files: dict[str, str] = {}
    """SHA-256 of what is no table's shard, by path below the run folder."""
    summary: dict[str, Any] = {}
    """The selection in figures; empty until there is one."""

    def plain(self) -> dict[str, Any]:
        """Give it as plain data, as its JSON has it."""
        tree: dict[str, Any] = json.loads(self.model_dump_json())
        return tree


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, or start an empty one if there is none.

    Raises:
        LearnAlignError: if the file is not the manifest that was written, or one of another schema
            version.
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
            do="give another folder with --out, or install the version that made it "
            f"({manifest.learnalign or 'unknown'})",
        )
    if manifest.sha256:  # manifests of earlier versions have none
        found = _OWN_HASH.match(data)
        start, end = found.span(1) if found else (0, 0)
        zeroed = data[:start] + _ZEROS.encode() + data[end:]
        if hashlib.sha256(zeroed).hexdigest() != manifest.sha256:
            raise _unreadable(path, "its contents are not those that were written")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all, with its own hash; keep the one before on a disk.

    The hash is that of the file with 64 zeros in its place.
    """
    text = manifest.model_copy(update={"sha256": _ZEROS}).model_dump_json(indent=1) + "\n"
    own = hashlib.sha256(text.encode()).hexdigest()
    if not is_remote(path):
        _keep(path)
    files.write_text(path, text.replace(_ZEROS, own, 1))


def _keep(path: Path) -> None:
    """Let the manifest there is be found under another name too."""
    if not path.exists():
        return
    before = path.with_name(_BEFORE)
    temporary = files.temporary_name(before)
    with files.explained(before):
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(path, temporary)
        temporary.replace(before)
        temporary.unlink(missing_ok=True)  # there still, if both were one file already


def _unreadable(path: Path, why: str) -> LearnAlignError:
    before = path.with_name(_BEFORE)
    back = f"copy {before} over it, and run the same command: the shards are whole, the last ones "
    back += "are made again"
    kept = not is_remote(path) and before.exists()
    return LearnAlignError(
        f"{path} is not a manifest this version can read: {why}",
        expected="the manifest that LearnAlign wrote",
        do=back if kept else "give another folder with --out",
    )
