"""Read what the page of `learnalign explore` shows from the tables of runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from learnalign import __version__
from learnalign.config import Config
from learnalign.config.load import load_config
from learnalign.errors import LearnAlignError
from learnalign.exploring.fields import Field, score_fields, tells_apart, verdict_fields
from learnalign.exploring.maps import Basis, maps, onto, text_basis
from learnalign.exploring.neighbours import Neighbours, neighbours
from learnalign.exploring.packing import pack_texts
from learnalign.exploring.pool import (
    PROMPTS_PER_BLOCK,
    ROLLOUTS_PER_BLOCK,
    Block,
    Layout,
    Pool,
    RunView,
)
from learnalign.reporting.examples import attempts
from learnalign.runs.folder import RunFolder, scored
from learnalign.selecting.methods.registry import METHODS
from learnalign.selecting.statistics.alignment import unit_gradients
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore_histories import histories, is_training, training_fields
from learnalign.workflows.select import ranked


def read_pool(runs: Sequence[Path], *, with_umap: bool, progress: Progress) -> Pool:
    """Read the pool of the first run, and what all runs know of it.

    Args:
        runs: Folders of finished selections, the first of which sets the map; and of trainings.
        with_umap: Also place the problems by UMAP.
        progress: Shows the parts.

    Raises:
        LearnAlignError: if a folder is neither a finished selection nor a training.
    """
    trainings = [path for path in runs if is_training(path)]
    folders = [scored(path) for path in runs if path not in trainings]
    if not folders:
        raise LearnAlignError(
            f"got {', '.join(map(str, runs))}, none of which is a selection",
            expected="the folder of a finished `learnalign select`; trainings may follow it",
            do="put the selection's folder first",
        )
    tables = [_Tables(folder) for folder in folders]
    ids = list(dict.fromkeys(name for one in tables for name in one.ids))
    found = histories(trainings, ids) if trainings else None
    views: list[RunView] = []
    for one in tables:
        progress.log(f"map of {one.folder.path}: {len(one.ids):,} problems")
        view = _view(one, ids, with_umap, views[0].layouts if views else [])
        if found is not None:
            view.fields.extend(training_fields(found, len(ids)))
        views.append(view)
    return Pool(
        title=" and ".join(view.name for view in views),
        version=__version__,
        ids=ids,
        runs=views,
        ranking=folders[0].manifest.files.get("scores.parquet", ""),
        histories=found,
    )


class _Tables:
    """What of a run's tables is read once: the ranked problems in the order of the pool."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.config: Config = load_config(
            folder.path / "config.yaml", overrides={"run.out": str(folder.path)}
        )
        self.scores = folder.scores()
        wanted = self.scores["problem_id"].combine_chunks()
        columns = ["problem_id", "prompt", "answer", "messages", "prompt_ids"]
        shards = [
            shard.select(columns).filter(pc.is_in(shard["problem_id"], wanted))
            for shard in folder.shards("problems")
        ]
        table = pa.concat_tables(shards)
        self.ids: list[str] = table["problem_id"].to_pylist()
        self.prompts: list[str] = [prompt or "" for prompt in table["prompt"].to_pylist()]
        self.answers: list[str | None] = table["answer"].to_pylist()
        self.prompt_tokens = pc.list_value_length(table["prompt_ids"]).to_numpy().astype(np.float64)
        messages = table["messages"].to_pylist()
        self.texts = {
            name: "\n".join(message["content"] or "" for message in chat or [])
            for name, chat in zip(self.ids, messages, strict=True)
        }

    def blocks(self) -> Iterator[Block]:
        """Yield the prompts, and the rollouts with gold answer and verdicts."""
        yield from pack_texts("prompts", self.prompts, PROMPTS_PER_BLOCK)
        yield from pack_texts("rollouts", self._attempts(), ROLLOUTS_PER_BLOCK)

    def _attempts(self) -> Iterator[dict[str, Any]]:
        """Yield each problem's gold answer and rollouts, in the order of ``ids``."""
        pairs = zip(self.folder.shards("rollouts"), self.folder.shards("verdicts"), strict=True)
        waiting: dict[str, list[Any]] = {}
        for name, answer in zip(self.ids, self.answers, strict=True):
            while name not in waiting:
                pair = next(pairs, None)
                if pair is None:
                    break
                waiting |= attempts(*pair)
            yield {"answer": answer, "attempts": [asdict(one) for one in waiting.pop(name, [])]}


def _view(one: _Tables, ids: list[str], with_umap: bool, first: list[Layout]) -> RunView:
    folder, config, seed = one.folder, one.config, one.config.run.seed
    index = {name: row for row, name in enumerate(one.ids)}
    rows = np.fromiter((index.get(name, -1) for name in ids), np.int32, len(ids))
    own_texts = [one.texts[name] for name in one.ids]
    bases = [*_bases(one), text_basis(own_texts)]
    layouts, groups = maps(bases, own_texts, with_umap=with_umap, seed=seed)
    spread = partial(_spread, rows=rows)
    layouts = [
        Layout(m.key, m.label, spread(m.points, np.nan), spread(m.placed, False), m.groups)
        for m in layouts
    ]
    fields = score_fields(one.scores, ids)
    fields += verdict_fields(list(folder.shards("verdicts")), ids)
    prompt = Field("prompt_tokens", "prompt tokens", "number", spread(one.prompt_tokens, np.nan))
    fields += [f for f in [prompt] if tells_apart(f)]
    fields += [Field(g.key, g.label, g.kind, spread(g.values, -1), g.names) for g in groups]
    near = None
    if bases[0].key != "text":
        near = _neighbours(bases[0], rows, np.flatnonzero(rows >= 0), seed)
    return RunView(
        name=folder.path.name,
        path=str(folder.path),
        model=Path(config.model.path).name,
        method=config.selection.method,
        budget=int(pc.sum(one.scores["selected"]).as_py() or 0),
        fields=fields,
        layouts=onto(layouts, first),
        ranks=_ranks(folder, config, ids),
        rows=rows,
        neighbours=near,
        neighbours_by=bases[0].label,
        blocks=one.blocks,
    )


def _bases(one: _Tables) -> list[Basis]:
    """Read the gradients and hidden states that the run has."""
    kinds = (("gradients", "sketch", "gradients"), ("features", "hidden", "hidden states"))
    found = []
    for stage, column, label in kinds:
        record = one.folder.manifest.stages.get(stage)
        if record is None or not record.complete:
            continue
        batches = partial(one.folder.batches, stage)
        rows = unit_gradients(batches, one.ids, np.arange(len(one.ids)), column=column)
        if rows.any():
            found.append(Basis("hidden" if stage == "features" else stage, label, rows))
    return found


def _neighbours(
    basis: Basis, rows: NDArray[np.int32], here: NDArray[np.int64], seed: int
) -> Neighbours:
    """Find neighbours among the run's problems, as indices of the pool."""
    found = neighbours(basis.rows, basis.known(), seed=seed)
    place = np.full(len(basis.rows) + 1, -1, np.int32)
    place[rows[here]] = here

    def moved(values: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.asarray(_spread(place[values], -1, rows=rows), np.int32)

    return Neighbours(
        moved(found.nearest),
        _spread(found.nearest_cosine, np.nan, rows=rows),
        moved(found.opposed),
        _spread(found.opposed_cosine, np.nan, rows=rows),
    )


def _spread(values: NDArray[Any], missing: float, *, rows: NDArray[np.int32]) -> NDArray[Any]:
    """Put a run's values in the pool's order."""
    found = values[np.maximum(rows, 0)].copy()
    found[rows < 0] = missing
    return found


def _ranks(folder: RunFolder, config: Config, ids: list[str]) -> dict[str, NDArray[np.int32]]:
    """Rank by each method that has its tables and ranks alike for every budget."""
    done = {name for name, record in folder.manifest.stages.items() if record.complete}
    have = {"rewards"} | (done & {"gradients", "features"})
    have |= {"history"} if config.selection.history else set()
    index = {name: number for number, name in enumerate(ids)}
    ranks = {}
    for name, method in METHODS.items():
        if not method.requires <= have or (method.needs_target and not config.selection.target):
            continue
        plain = config.selection.model_copy(update={"method": name, "num_bootstrap": 0})
        try:
            scores = ranked(folder, config.model_copy(update={"selection": plain})).scores
        except LearnAlignError:  # this pool has no signal, or no value of the method's
            continue
        found = np.zeros(len(ids), np.int32)
        found[[index[n] for n in scores["problem_id"].to_pylist()]] = scores["rank"].to_numpy()
        ranks[name] = found
    return ranks
