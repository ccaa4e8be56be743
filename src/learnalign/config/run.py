"""Options of where and how the work is done."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from learnalign.config.section import Section
from learnalign.storage.paths import StoragePath


class ClusterConfig(Section):
    """Where the stages' shards are made."""

    on: str = "here"
    """here; ray (the cluster that RAY_ADDRESS names, or one of this machine alone); or
    ray://address:10001."""
    workers: PositiveInt = 2
    """Actors that make shards side by side; each loads the model once."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None
    """GPUs an actor that runs the model holds; if not given, 1 where the cluster has any."""
    cpus_per_worker: Annotated[float, Field(gt=0.0)] = 1.0
    """Processors an actor holds."""


class RunConfig(Section):
    """Where and how the work is done."""

    out: StoragePath = Path("runs/select")
    """Run folder, or its URL (s3://bucket/run; docs/reference/run-folder.md)."""
    seed: int = 0
    """Seed of everything that is random."""
    shard_size: PositiveInt = 64
    """Problems a shard; what a kill can cost at most."""
