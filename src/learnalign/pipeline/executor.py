"""Compute a stage's table shard by shard, here or on a cluster; finished shards are kept."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.shard import compute_shard
from learnalign.pipeline.stages import STAGES
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import ROUND_NAMES, Shard
from learnalign.terminal.progress import Advance, Progress

if TYPE_CHECKING:
    from learnalign.pipeline.ray import RayCluster

#: Engines that query or look up: the process that was started collects their rollouts.
_LOCAL_ENGINES = ("server", "recorded")


def open_cluster(config: Config) -> "AbstractContextManager[RayCluster | None]":
    """Connect to the cluster that computes the shards; None if this process does.

    Raises:
        LearnAlignError: for an unknown ``cluster.on``, and as `RayCluster` does.
    """
    where = config.cluster.on
    if where == "here":
        return nullcontext(None)
    if where != "ray" and not where.startswith("ray://"):
        raise LearnAlignError(
            f"got --on {where}", expected="here, ray or ray://address:10001", do="correct it"
        )
    from learnalign.pipeline.ray import RayCluster

    return RayCluster(config)


def compute_table(
    folder: RunFolder,
    stage: str,
    resources: Resources,
    progress: Progress,
    cluster: "RayCluster | None" = None,
) -> None:
    """Compute the shards of a stage that do not exist yet."""
    pools = folder.manifest.stages["problems"].shards
    finished = folder.manifest.stages[stage].shards
    left = [index for index in sorted(pools) if index not in finished]
    plan, facts = STAGES[stage].prepare(folder, resources.config, stage)
    if left:
        total = sum(shard.rows for shard in pools.values())
        done = total - sum(pools[index].rows for index in left)
        samples = stage in ("rollouts", *ROUND_NAMES)
        local = cluster is None or (samples and resources.config.rollouts.engine in _LOCAL_ENGINES)
        with progress.stage(stage, total, done) as advance:
            if local or cluster is None:
                shards = _shards(folder, stage, left, resources, plan, advance)
            else:
                shards = cluster.shards(folder, stage, left, plan, advance)
            for index, shard in shards:
                folder.add_shard(stage, index, shard)
                if folder.saved:
                    resources.discard_cached()
    folder.finish(stage, **facts)
    resources.discard_cached()


def _shards(
    folder: RunFolder,
    stage: str,
    left: list[int],
    resources: Resources,
    plan: Any,
    advance: Advance,
) -> Iterator[tuple[int, Shard]]:
    for index in left:
        yield index, compute_shard(folder, stage, index, resources, plan, advance)
