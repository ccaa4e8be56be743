"""The manifest of a run folder: which shards exist, what made them, what they cost."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from learnalign import files
from learnalign.errors import LearnAlignError
from learnalign.tables import SCHEMA_VERSION


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

    schema_version: int = SCHEMA_VERSION
    learnalign: str = ""
    """Version of LearnAlign that wrote it last."""
    stages: dict[str, StageRecord] = {}
    summary: dict[str, Any] = {}
    """The selection in figures; empty until there is one."""


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, or start an empty one if there is none.

    Raises:
        LearnAlignError: if the file is not a manifest, or one of another schema version.
    """
    if files.size(path) is None:
        return Manifest()
    try:
        manifest = Manifest.model_validate_json(files.read_bytes(path))
    except ValidationError as error:
        raise LearnAlignError(
            f"{path} is not a manifest this version can read: {error.errors()[0]['msg']}",
            do="give another folder with --out",
        ) from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise LearnAlignError(
            f"{path} has schema version {manifest.schema_version}",
            expected=f"version {SCHEMA_VERSION}, which this LearnAlign reads and writes",
            do="give another folder with --out, or install the version that made it "
            f"({manifest.learnalign or 'unknown'})",
        )
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all."""
    files.write_text(path, manifest.model_dump_json(indent=1) + "\n")
