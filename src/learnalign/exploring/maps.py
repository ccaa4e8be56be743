"""The maps of a run: by gradients, hidden states or texts, each with its named groups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.text_features import text_features
from learnalign.exploring.clusters import clusters, telling_words
from learnalign.exploring.fields import Field
from learnalign.exploring.pool import Layout
from learnalign.exploring.projections import fitted, principal_components, turned, umap

Rows = NDArray[np.float32]

#: Principal components that UMAP and the groups start from, and the width of the texts' features.
_COMPONENTS, _TEXT_WIDTH = 50, 256
#: What problems without a row do not have, by the key of a basis.
LACKS = {
    "gradients": "a gradient",
    "hidden": "hidden states",
    "text": "words that tell them apart",
}
#: Where problems without a row lie: a strip below the map.
_STRIP = -1.3


@dataclass(frozen=True)
class Basis:
    """Vectors that place problems."""

    key: str
    """One of `LACKS`: ``gradients``, ``hidden`` or ``text``."""
    label: str
    rows: Rows
    """(n, d) unit rows, zero where there is none."""

    def known(self) -> NDArray[np.bool_]:
        """Return which problems have a row, (n,)."""
        found: NDArray[np.bool_] = np.any(self.rows, axis=1)
        return found


def text_basis(texts: Sequence[str]) -> Basis:
    """Make vectors of the problems' words."""
    return Basis("text", "texts", text_features(texts, size=_TEXT_WIDTH)[:, :_TEXT_WIDTH])


def maps(
    bases: Sequence[Basis], texts: Sequence[str], *, with_umap: bool, seed: int
) -> tuple[list[Layout], list[Field]]:
    """Place the problems on one map for each basis, or two with UMAP, and name their groups.

    Args:
        bases: What places the problems; the last one places every problem.
        texts: (n,) the problems' own words, which name the groups.
        with_umap: Also make a map by UMAP.
        seed: Seed of UMAP, of the groups and of the principal components.

    Returns:
        The maps, and a field of groups for each basis.
    """
    layouts: list[Layout] = []
    fields: list[Field] = []
    for basis in reversed(bases):
        known = basis.known()
        vectors = np.zeros((len(basis.rows), _COMPONENTS), np.float32)
        vectors[known] = principal_components(basis.rows[known], _COMPONENTS, seed=seed)
        groups = clusters(vectors, known, seed=seed)
        names = tuple(telling_words(texts, groups))
        field = Field(f"group_{basis.key}", f"group ({basis.label})", "name", groups, names)
        planes = {"pca": ("PCA", vectors[known, :2])}
        if with_umap:
            planes = {"umap": ("UMAP", umap(vectors[known], seed=seed)), **planes}
        side = layouts[-1].points[:, 0] if layouts else None
        made = [
            Layout(
                key=f"{basis.key}-{key}",
                label=f"{basis.label}, {label}",
                points=_placed(plane, known, side),
                placed=known,
                groups=field.key,
                lack=LACKS[basis.key],
            )
            for key, (label, plane) in planes.items()
        ]
        layouts, fields = [*made, *layouts], [field, *fields]
    return layouts, fields


def onto(layouts: Sequence[Layout], first: Sequence[Layout]) -> list[Layout]:
    """Turn a run's maps so that each lies as close as possible to the first run's of its kind."""
    by_key = {layout.key: layout for layout in first}
    found = []
    for layout in layouts:
        other = by_key.get(layout.key)
        points = layout.points.copy()
        if other is not None:
            both = layout.placed & other.placed & np.isfinite(points + other.points).all(axis=1)
            placed = layout.placed & np.isfinite(points).all(axis=1)
            whole = turned(np.nan_to_num(points), np.nan_to_num(other.points), both)
            points[placed] = whole[placed]
        found.append(replace(layout, points=points))
    return found


def _placed(plane: Rows, known: NDArray[np.bool_], side: Rows | None) -> Rows:
    """Put problems without a vector in a strip below the map, ordered as on another map."""
    points = np.zeros((len(known), 2), np.float32)
    points[known] = fitted(plane)
    rest = np.flatnonzero(~known)
    if len(rest):
        order = np.argsort(side[rest], kind="stable") if side is not None else np.arange(len(rest))
        steps = np.arange(len(rest))
        points[rest[order], 0] = np.linspace(-1.0, 1.0, len(rest)) if len(rest) > 1 else 0.0
        points[rest[order], 1] = _STRIP - 0.03 * (steps % 5)
    return points
