"""The problems of a training: all rows of some data, or a subset of a finished selection."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.pipeline.order import stage_options
from learnalign.pipeline.problems import read_problems
from learnalign.pipeline.resources import Resources
from learnalign.runs.fingerprints import fingerprint
from learnalign.runs.folder import RunFolder, scored
from learnalign.selecting.order import random_keys
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.terminal.progress import Progress
from learnalign.workflows.subsets import chosen_ids, made_of

#: The default subset, which for data means all problems.
DEFAULT_SUBSET: str = TrainingConfig().subset


def training_problems(
    folder: RunFolder, config: Config, resources: Resources, progress: Progress
) -> pa.Table:
    """Read the problems from data, or from the chosen ones of a selection."""
    source = training_source(config)
    count = config.training.num_problems
    if source is None:
        (options,) = stage_options(config, ["problems"]).values()
        if not folder.begin("problems", options).complete:
            read_problems(folder, config, resources, progress)
        table = folder.table("problems")
        return table.take(_sampled(table["problem_id"].to_pylist(), count, config.run.seed))
    chosen = chosen_ids(source, config.training.subset, seed=config.run.seed)
    chosen = [chosen[i] for i in _sampled(chosen, count, config.run.seed)]
    facts: dict[str, Any] = {"training.source": str(source.path)}
    facts["training.chosen"] = fingerprint({"ids": chosen})
    if made := made_of(config.training.subset):
        facts["training.subset"] = made
    if not folder.begin("problems", facts).complete:
        order = {name: i for i, name in enumerate(chosen)}
        unsorted = pa.concat_tables(
            shard.filter(pc.is_in(shard["problem_id"], pa.array(chosen)))
            for shard in source.shards("problems")
        )
        rank = pa.array([order[name] for name in unsorted["problem_id"].to_pylist()])
        table = unsorted.take(pc.sort_indices(rank))
        folder.write_shard("problems", 0, table, seconds=0.0)
        folder.finish("problems")
    return folder.table("problems")


def _sampled(names: list[str], count: int | None, seed: int) -> list[int]:
    """Return the sorted indices of ``count`` random problems; of all if None."""
    if count is None or count >= len(names):
        return list(range(len(names)))
    keys = random_keys(names, seed + 2)
    return sorted(sorted(range(len(names)), key=keys.__getitem__)[:count])


def training_source(config: Config) -> RunFolder | None:
    """Open the selection to train on; None if the paths are data.

    Raises:
        LearnAlignError: if a subset is requested of data.
    """
    source, subset = selection_folder(config.data.paths), config.training.subset
    if source is None and subset != DEFAULT_SUBSET:
        raise LearnAlignError(
            f"got --subset {subset} for {', '.join(config.data.paths) or 'no data'}",
            expected="the folder of one finished selection to take a subset of",
            do="give that folder, or remove --subset to train on all of the data",
        )
    return source


def selection_folder(paths: tuple[str, ...]) -> RunFolder | None:
    """Open the run folder given in place of data; None if the paths are data."""
    if len(paths) != 1 or not files.is_file(as_path(paths[0]) / "manifest.json"):
        return None
    return scored(as_path(paths[0]))
