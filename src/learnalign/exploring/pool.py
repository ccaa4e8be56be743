"""The pool as the page shows it: its problems, and what each run knows of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnalign.exploring.fields import Field, tells_apart
from learnalign.exploring.neighbours import Neighbours
from learnalign.exploring.packing import pack_columns, pack_json

#: Problems whose rollouts are one block, and whose prompts are one block.
ROLLOUTS_PER_BLOCK, PROMPTS_PER_BLOCK = 32, 1000

#: A block's name and its compressed contents.
Block = tuple[str, bytes]


@dataclass(frozen=True)
class Layout:
    """A map of the problems."""

    key: str
    label: str
    """What places a problem, and how: ``gradients, PCA``."""
    points: NDArray[np.float32]
    """(n, 2), NaN for problems of other runs."""
    placed: NDArray[np.bool_]
    """(n,) False for problems that are shown beside the map, because nothing places them."""
    groups: str
    """The field whose groups are named on the map."""
    lack: str
    """What problems beside the map do not have."""


@dataclass(frozen=True)
class RunView:
    """One run: fields, maps and rankings of the pool's problems."""

    name: str
    path: str
    model: str
    """The policy's name."""
    method: str
    """The rule that ranked the problems."""
    budget: int
    """Problems that it chose."""
    fields: list[Field]
    layouts: list[Layout]
    ranks: dict[str, NDArray[np.int32]]
    """(n,) rank by each method that ranks without knowing the budget, 0 for none."""
    rows: NDArray[np.int32]
    """(n,) position of each problem's texts in the run's blocks, -1 for none."""
    neighbours: Neighbours | None
    neighbours_by: str
    """What the cosines of the neighbours compare: ``gradients`` or ``hidden states``."""
    blocks: Callable[[], Iterator[Block]]
    """Yields the blocks of texts."""


@dataclass(frozen=True)
class Histories:
    """What trainings measured of each problem."""

    names: list[str]
    """The trainings."""
    training: NDArray[np.int32]
    """(m,) index of the training of each measurement, sorted by problem."""
    step: NDArray[np.int32]
    success_rate: NDArray[np.float64]
    begins: NDArray[np.int32]
    """(n + 1,) where each problem's measurements begin."""


@dataclass(frozen=True)
class Pool:
    """All that the page shows."""

    title: str
    ids: list[str]
    runs: list[RunView]
    ranking: str
    """SHA-256 of the first run's table of scores."""
    histories: Histories | None = None

    def head(self, served: bool) -> list[Block]:
        """Return the two blocks that the page reads when it opens."""
        columns: dict[str, NDArray[Any]] = {}
        for number, run in enumerate(self.runs):
            columns |= {f"{number}:{name}": values for name, values in _columns(run).items()}
        if self.histories is not None:
            for name in ("training", "step", "success_rate", "begins"):
                columns[f"history:{name}"] = getattr(self.histories, name)
        described, block = pack_columns(columns)
        about = {
            "served": served,
            "ids": self.ids,
            "columns": described,
            "runs": [_described(run) for run in self.runs],
            "trainings": [] if self.histories is None else self.histories.names,
            "rolloutsPerBlock": ROLLOUTS_PER_BLOCK,
            "promptsPerBlock": PROMPTS_PER_BLOCK,
        }
        return [("about", pack_json(about)), ("columns", block)]

    def texts(self) -> Iterator[Block]:
        """Yield the blocks of texts, their names prefixed with the run's number."""
        for number, run in enumerate(self.runs):
            for name, block in run.blocks():
                yield f"{number}-{name}", block


def aligned(fields: Sequence[Field]) -> list[Field]:
    """Leave out fields without a value."""
    return [one for one in fields if tells_apart(one)]


def _columns(run: RunView) -> Mapping[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {f"field:{one.key}": one.values for one in run.fields}
    for layout in run.layouts:
        columns[f"layout:{layout.key}"] = layout.points
        columns[f"placed:{layout.key}"] = layout.placed.astype(np.int32)
    columns |= {f"rank:{name}": ranks for name, ranks in run.ranks.items()}
    columns["rows"] = run.rows
    if run.neighbours is not None:
        for name in ("nearest", "nearest_cosine", "opposed", "opposed_cosine"):
            columns[f"neighbours:{name}"] = getattr(run.neighbours, name)
    return columns


def _described(run: RunView) -> dict[str, Any]:
    return {
        "name": run.name,
        "path": run.path,
        "model": run.model,
        "method": run.method,
        "budget": run.budget,
        "fields": [one.described() for one in run.fields],
        "layouts": [
            {"key": one.key, "label": one.label, "groups": one.groups, "lack": one.lack}
            for one in run.layouts
        ],
        "methods": list(run.ranks),
        "neighboursBy": run.neighbours_by if run.neighbours is not None else "",
    }
