"""What trainings measured of each problem: when they met it, and how often it was solved."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.exploring.fields import Field
from learnalign.exploring.pool import Histories
from learnalign.runs.folder import RunFolder
from learnalign.runs.manifest import TRAINING_TABLES
from learnalign.storage import files
from learnalign.training.history import success_history

#: What `learnalign stages` writes about its finished stages.
STAGES = "stages.json"


def expanded(runs: Sequence[Path]) -> list[Path]:
    """Put the selections and trainings of its stages in place of each folder of stages.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> _ = (folder / "stages.json").write_text("[{}, {}]")
        >>> [path.relative_to(folder).as_posix() for path in expanded([folder])]
        ['stage-1/selection', 'stage-1/training', 'stage-2/selection', 'stage-2/training']
    """
    found: list[Path] = []
    for path in runs:
        if not is_staged(path):
            found.append(path)
            continue
        stages = [path / f"stage-{number}" for number in range(1, _count(path / STAGES) + 1)]
        found += [stage / part for stage in stages for part in ("selection", "training")]
    return found


def _count(path: Path) -> int:
    """Return how many stages are finished."""
    try:
        found = json.loads(files.read_text(path))
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise LearnAlignError(
            f"{path} is not a list of finished stages",
            expected="the file that `learnalign stages` writes",
            do="run `learnalign stages` again, or name the folders of its stages",
        )
    return len(found)


def is_staged(path: Path) -> bool:
    """Whether a folder is one of stages, at least one of which is finished."""
    return files.is_file(path / STAGES)


def labels(paths: Sequence[Path]) -> list[str]:
    """Name folders, as shortly as they differ.

    Example:
        >>> labels([Path("x/stage-1/training"), Path("x/stage-2/training"), Path("x/other")])
        ['stage-1/training', 'stage-2/training', 'other']
        >>> labels([Path("x/stage-1/training"), Path("y/stage-1/training")])
        ['x/stage-1/training', 'y/stage-1/training']
    """

    def end(path: Path, depth: int) -> str:
        return "/".join(path.parts[-depth:])

    found = []
    for path in paths:
        depths = range(1, len(path.parts) + 1)
        others = [other for other in paths if other != path]
        alone = (d for d in depths if end(path, d) not in {end(other, d) for other in others})
        found.append(end(path, next(alone, len(path.parts))))
    return found


def is_training(path: Path) -> bool:
    """Whether a folder is a training's."""
    return RunFolder(path, TRAINING_TABLES).num_shards("history") > 0


def histories(trainings: Sequence[Path], ids: Sequence[str]) -> Histories:
    """Read the trainings' success rates of the problems, by problem, training and step.

    Raises:
        LearnAlignError: if a training met none of the problems.
    """
    index = {name: number for number, name in enumerate(ids)}
    columns = [np.empty((0, 4))]
    for number, path in enumerate(trainings):
        shards = RunFolder(path, TRAINING_TABLES).shards("history")
        steps = pa.concat_tables(s.select(["problem_id", "step", "reward"]) for s in shards)
        table = success_history(steps)
        problems = [index.get(name, -1) for name in table["problem_id"].to_pylist()]
        rows = np.column_stack(
            [problems, np.full(len(problems), number), table["step"], table["success_rate"]]
        )
        columns.append(rows[rows[:, 0] >= 0])
        require_shared(path, len(columns[-1]))
    found = np.concatenate(columns)
    found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
    begins = np.searchsorted(found[:, 0], np.arange(len(ids) + 1))
    return Histories(
        names=labels(trainings),
        training=found[:, 1].astype(np.int32),
        step=found[:, 2].astype(np.int32),
        success_rate=found[:, 3].copy(),
        begins=begins.astype(np.int32),
    )


def require_shared(run: Path, shared: int) -> None:
    """Reject a run that has no problem in common with the pool."""
    if not shared:
        raise LearnAlignError(
            f"{run} has no problem in common with the first run",
            expected="runs and trainings on the same pool: problems are compared by their ids",
            do="leave it out, or look at it alone",
        )


def training_fields(found: Histories, here: NDArray[np.bool_]) -> list[Field]:
    """Return which training first met each problem; and its first step and last rate in each.

    Args:
        found: The trainings.
        here: (n,) problems that the run has; the others have no values.
    """
    count = len(here)
    problem = np.repeat(np.arange(count), np.diff(found.begins))
    met = np.full(count, len(found.names))
    np.minimum.at(met, problem, found.training)
    met[~here] = -1
    names = (*found.names, "never")
    fields = [Field("met", "first met in", "name", met.astype(np.int32), names)]
    for number, name in enumerate(found.names):
        own = np.flatnonzero(found.training == number)
        first, last = np.full(count, np.nan), np.full(count, np.nan)
        first[problem[own[::-1]]] = found.step[own[::-1]] + 1
        last[problem[own]] = found.success_rate[own]
        first[~here] = last[~here] = np.nan
        fields.append(Field(f"met_{number}", f"first step in {name}", "number", first))
        fields.append(Field(f"last_{number}", f"last success rate in {name}", "number", last))
    return fields
