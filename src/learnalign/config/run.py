"""Options for the run folder and the cluster."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from learnalign.config.section import Section
from learnalign.storage.paths import StoragePath


class ClusterConfig(Section):
    """Where shards are computed."""

    on: str = "here"
    """here (this machine), ray (the cluster that RAY_ADDRESS names, or a local one), or
    ray://address:10001."""
    workers: PositiveInt = 2
    """Number of parallel actors; each loads the model once."""
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None
    """GPUs per actor that runs the model; by default, 1 if the cluster has GPUs."""
    cpus_per_worker: Annotated[float, Field(gt=0.0)] = 1.0
    """CPUs per actor."""


class RunConfig(Section):
    """The run folder, the seed and the shard size."""

    out: StoragePath = Path("runs/select")
    """Run folder or its URL (s3://bucket/run; docs/reference/run-folder.md)."""
    seed: int = 0
    """Random seed."""
    shard_size: PositiveInt = 64
    """Problems per shard, which is the most work that an interruption can lose."""
