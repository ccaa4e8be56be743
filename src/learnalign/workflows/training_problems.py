"""Which problems a training takes: all of some data, or a part of a finished selection."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from learnalign.config import Config, TrainingConfig
from learnalign.errors import LearnAlignError
from learnalign.formats.export import sample_control
from learnalign.pipeline.fingerprints import stage_options
from learnalign.pipeline.problems import make_problems
from learnalign.pipeline.resources import Resources
from learnalign.pipeline.targets import read_ids
from learnalign.runs.fingerprints import fingerprint
from learnalign.runs.folder import RunFolder, scored
from learnalign.selecting.order import random_keys
from learnalign.storage import files
from learnalign.storage.paths import as_path
from learnalign.terminal.progress import Progress

#: The subset of data: nothing was asked for.
WHOLE: str = TrainingConfig().subset


def training_problems(
    folder: RunFolder, config: Config, resources: Resources, progress: Progress
) -> pa.Table:
    """Read the problems from data, or take the chosen ones of a selection."""
    source = training_source(config)
    count = config.training.num_problems
    if source is None:
        if not folder.begin("problems", stage_options(config, "problems")).complete:
            make_problems(folder, config, resources, progress)
        table = folder.table("problems")
        return table.take(_drawn(table["problem_id"].to_pylist(), count, config.run.seed))
    chosen = chosen_ids(source, config.training.subset, seed=config.run.seed)
    chosen = [chosen[i] for i in _drawn(chosen, count, config.run.seed)]
    options = {"training.source": str(source.path), "training.chosen": fingerprint({"ids": chosen})}
    if not folder.begin("problems", options).complete:
        order = {name: i for i, name in enumerate(chosen)}
        found = pa.concat_tables(
            shard.filter(pc.is_in(shard["problem_id"], pa.array(chosen)))
            for shard in source.shards("problems")
        )
        rank = pa.array([order[name] for name in found["problem_id"].to_pylist()])
        table = found.take(pc.sort_indices(rank))
        folder.write_shard("problems", 0, table, seconds=0.0)
        folder.finish("problems")
    return folder.table("problems")


def _drawn(names: list[str], count: int | None, seed: int) -> list[int]:
    """Return the indices of ``count`` random problems, in order; of all, if None."""
    if count is None or count >= len(names):
        return list(range(len(names)))
    lots = random_keys(names, seed + 2)
    return sorted(sorted(range(len(names)), key=lots.__getitem__)[:count])


def training_source(config: Config) -> RunFolder | None:
    """Open the selection that is trained on; None if it is data.

    Raises:
        LearnAlignError: for a subset of data, which has none.
    """
    source, subset = selection_folder(config.data.paths), config.training.subset
    if source is None and subset != WHOLE:
        raise LearnAlignError(
            f"got --subset {subset} for {', '.join(config.data.paths) or 'no data'}",
            expected="the folder of one finished selection, whose problems a subset is of",
            do="give that folder, or leave --subset out: data are trained on whole",
        )
    return source


def selection_folder(paths: tuple[str, ...]) -> RunFolder | None:
    """Open the run folder that stands in place of data; None if the paths are data."""
    if len(paths) != 1 or not files.is_file(as_path(paths[0]) / "manifest.json"):
        return None
    return scored(as_path(paths[0]))


def chosen_ids(source: RunFolder, subset: str, *, seed: int) -> list[str]:
    """Name a run's problems to train on, the best first.

    Args:
        source: The run.
        subset: ``selected``; ``random``, as many as selected, drawn as an export's control is;
            ``all``; or a file with one id a line.
        seed: Of the draw.

    Raises:
        LearnAlignError: for an unknown subset, an id the run does not know, or nothing chosen.
    """
    scores = source.scores()
    names: list[str] = scores["problem_id"].to_pylist()
    selected: list[str] = scores.filter(pc.fill_null(scores["selected"], False))[
        "problem_id"
    ].to_pylist()
    if subset == "all":
        return names
    if subset in ("selected", "random"):
        if not selected:
            raise LearnAlignError(
                f"{source.path} has nothing selected",
                expected="a selection",
                do=f"run `learnalign score {source.path} --budget K`, or give --subset all",
            )
        return selected if subset == "selected" else sample_control(scores, len(selected), seed)
    path = Path(subset)
    if not path.is_file():
        raise LearnAlignError(
            f"got --subset {subset}",
            expected="selected, random, all or a file of ids",
            do="correct it",
        )
    listed = read_ids(path)
    unknown = sorted(set(listed) - set(names))
    if unknown or not listed:
        raise LearnAlignError(
            f"{path} names {len(unknown)} problems that {source.path} does not know"
            + (f", '{unknown[0]}' first" if unknown else "; it names none at all"),
            expected="ids of that run, one a line",
            do="correct the file",
        )
    return list(dict.fromkeys(listed))
