"""A stage's table, shard by shard, here or on a cluster; what is done is never done again."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from learnalign.config import Config
from learnalign.errors import LearnAlignError
from learnalign.pipeline import stages
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.shard import make_shard
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import ROUND_NAMES, Shard
from learnalign.terminal.progress import Advance, Progress

if TYPE_CHECKING:
    from learnalign.pipeline.ray import RayCluster

#: Engines that ask or look up: their rollouts are gathered by the process that was started.
_GATHERING = ("server", "recorded")


def open_cluster(config: Config) -> "AbstractContextManager[RayCluster | None]":
    """Join the cluster the shards are to be made on; None if that is this process.

    Raises:
        LearnAlignError: for an address of another kind, and as `RayCluster` does.
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


def make_table(
    folder: RunFolder,
    stage: str,
    resources: Resources,
    progress: Progress,
    cluster: "RayCluster | None" = None,
) -> None:
    """Make the shards of a stage that are not there yet."""
    pools = folder.manifest.stages["problems"].shards
    made = folder.manifest.stages[stage].shards
    left = [index for index in sorted(pools) if index not in made]
    given, facts = stages.BY_NAME[stage].prepare(folder, resources.config, stage)
    if left:
        total = sum(shard.rows for shard in pools.values())
        done = total - sum(pools[index].rows for index in left)
        samples = stage in ("rollouts", *ROUND_NAMES)
        gathered = samples and resources.config.rollouts.engine in _GATHERING
        with progress.stage(stage, total, done) as advance:
            if cluster is None or gathered:
                shards = _here(folder, stage, left, resources, given, advance)
            else:
                shards = cluster.shards(folder, stage, left, given, advance)
            for index, shard in shards:
                folder.add_shard(stage, index, shard)
                if folder.saved:
                    resources.discard_cached()
    folder.finish(stage, **facts)
    resources.discard_cached()


def _here(
    folder: RunFolder,
    stage: str,
    left: list[int],
    resources: Resources,
    given: Any,
    advance: Advance,
) -> Iterator[tuple[int, Shard]]:
    for index in left:
        yield index, make_shard(folder, stage, index, resources, given, advance)
