"""What a stage is: the tables it reads, the options it depends on, how one shard is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from learnalign.config import Config
from learnalign.pipeline.resources import Resources
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Advance

#: Problems that leave the pool, as (problem_id, reason, detail).
Reasons = list[tuple[str, str, str]]


@dataclass(frozen=True)
class ShardTask:
    """One shard to compute."""

    folder: RunFolder
    index: int
    resources: Resources
    plan: Any
    """What the stage's ``prepare`` returned; the same for all shards."""
    advance: Advance
    """Called with the number of problems just finished."""

    def read(self, table: str) -> pa.Table:
        """Read this shard of another stage's table."""
        return self.folder.read_shard(table, self.index)


@dataclass(frozen=True)
class StageOutput:
    """What a stage computed for one shard of problems."""

    table: pa.Table
    tokens: int = 0
    """Tokens sampled or differentiated."""
    reasons: Reasons = field(default_factory=list)
    """Problems that leave the pool."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Counts about the rollouts, for the warnings at the end of a run."""


def _always(config: Config) -> bool:
    return True


def _no_plan(folder: RunFolder, config: Config, stage: str) -> tuple[None, dict[str, Any]]:
    return None, {}


@dataclass(frozen=True)
class Stage:
    """One table of a run folder. Order, fingerprints and --redo follow from these fields."""

    name: str
    reads: tuple[str, ...]
    """The stages whose tables it reads, where they are part of the run."""
    options: Callable[[Config], dict[str, Any]]
    """The options it depends on by itself; those of the stages it reads are added."""
    run: Callable[[ShardTask], StageOutput] | None = None
    """Computes one shard; None for the stage that reads the pool (`pipeline.problems`)."""
    part_of_run: Callable[[Config], bool] = _always
    """Whether a run with these options has this stage."""
    prepare: Callable[[RunFolder, Config, str], tuple[Any, dict[str, Any]]] = _no_plan
    """Called once before the shards; returns the plan and the facts the manifest keeps."""
