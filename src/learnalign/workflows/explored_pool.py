"""Read what the page of `learnalign explore` shows from the tables of runs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign.errors import LearnAlignError
from learnalign.exploring.fields import Field
from learnalign.exploring.maps import Basis, maps, onto
from learnalign.exploring.neighbours import Neighbours, neighbours
from learnalign.exploring.pool import Layout, Pool, RunView
from learnalign.runs.folder import scored
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore_histories import (
    expanded,
    histories,
    is_training,
    labels,
    require_shared,
    training_fields,
)
from learnalign.workflows.explored_run import ExploredRun, spread
from learnalign.workflows.rankings import rankings


def read_pool(runs: Sequence[Path], *, with_umap: bool, progress: Progress) -> Pool:
    """Read the pool of the first run, and what all runs know of it.

    Args:
        runs: Folders of finished selections, the first of which sets the map; of trainings; and of
            stages, which are both.
        with_umap: Also place the problems by UMAP.
        progress: Shows the parts.

    Raises:
        LearnAlignError: if a folder is neither a finished selection nor a training, or has no
            problem in common with the first.
    """
    runs = expanded(runs)
    trainings = [path for path in runs if is_training(path)]
    folders = [scored(path) for path in runs if path not in trainings]
    if not folders:
        raise LearnAlignError(
            f"got {', '.join(map(str, runs))}, none of which is a selection",
            expected="the folder of a finished `learnalign select`; trainings may follow it",
            do="put the selection's folder first",
        )
    tables = [ExploredRun(folder) for folder in folders]
    for one in tables[1:]:
        require_shared(one.folder.path, len(set(one.ids) & set(tables[0].ids)))
    ids = list(dict.fromkeys(name for one in tables for name in one.ids))
    found = histories(trainings, ids) if trainings else None
    views: list[RunView] = []
    for one, name in zip(tables, labels([one.path for one in folders]), strict=True):
        progress.log(f"map of {one.folder.path}: {len(one.ids):,} problems")
        view = _view(one, name, ids, with_umap, views[0].layouts if views else [])
        if found is not None:
            view.fields.extend(training_fields(found, view.rows >= 0))
        views.append(view)
    return Pool(
        title=_title([view.name for view in views]),
        ids=ids,
        runs=views,
        ranking=folders[0].manifest.files.get("scores.parquet", ""),
        histories=found,
    )


def _title(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} others"


def _view(
    one: ExploredRun, name: str, ids: list[str], with_umap: bool, first: list[Layout]
) -> RunView:
    folder, config, seed = one.folder, one.config, one.config.run.seed
    rows = one.rows(ids)
    bases = one.bases()
    layouts, groups = maps(bases, one.texts, with_umap=with_umap, seed=seed)
    in_pool = partial(spread, rows=rows)
    layouts = [
        replace(one, points=in_pool(one.points, np.nan), placed=in_pool(one.placed, False))
        for one in layouts
    ]
    missing = {"number": np.nan, "name": -1}
    fields = [
        Field(f.key, f.label, f.kind, in_pool(f.values, missing[f.kind]), f.names)
        for f in [*one.fields(), *groups]
    ]
    near = None
    if bases[0].key != "text":
        near = _neighbours(bases[0], rows, np.flatnonzero(rows >= 0), seed)
    return RunView(
        name=name,
        path=str(folder.path),
        model=_policy(config.model.path),
        method=config.selection.method,
        budget=int(pc.sum(one.scores["selected"]).as_py() or 0),
        fields=fields,
        layouts=onto(layouts, first),
        ranks=_ranks(one, ids),
        rows=rows,
        neighbours=near,
        neighbours_by=bases[0].label,
        blocks=one.blocks,
    )


def _policy(path: str) -> str:
    """Return a model's name; a training's model, whose folder is `model`, has its training's, too.

    Example:
        >>> _policy("models/SmolLM2-135M"), _policy("runs/x/stage-1/training/model")
        ('SmolLM2-135M', 'stage-1/training/model')
    """
    parts = Path(path).parts
    return "/".join(parts[-3:] if parts[-1:] == ("model",) else parts[-1:])


def _neighbours(
    basis: Basis, rows: NDArray[np.int32], here: NDArray[np.int64], seed: int
) -> Neighbours:
    """Find neighbours among the run's problems, as indices of the pool."""
    found = neighbours(basis.rows, basis.known(), seed=seed)
    place = np.full(len(basis.rows) + 1, -1, np.int32)
    place[rows[here]] = here

    def moved(values: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.asarray(spread(place[values], -1, rows=rows), np.int32)

    return Neighbours(
        moved(found.nearest),
        spread(found.nearest_cosine, np.nan, rows=rows),
        moved(found.opposed),
        spread(found.opposed_cosine, np.nan, rows=rows),
    )


def _ranks(one: ExploredRun, ids: list[str]) -> dict[str, NDArray[np.int32]]:
    """Rank by each method that has its tables and ranks alike for every budget."""
    index = {name: number for number, name in enumerate(ids)}
    ranks = {}
    for name, scores in rankings(one.folder, one.config, budgeted=False):
        found = np.zeros(len(ids), np.int32)
        found[[index[n] for n in scores["problem_id"].to_pylist()]] = scores["rank"].to_numpy()
        ranks[name] = found
    return ranks
