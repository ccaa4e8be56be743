"""Each problem's nearest and most opposed neighbours by cosine."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Indices = NDArray[np.int32]

COUNT = 5
#: Problems up to which each pair is compared exactly.
_EXACT = 12_000
#: Width of the projection that proposes neighbours in larger pools, and how many it proposes.
_WIDTH, _PROPOSED = 256, 64
#: Columns that are searched together.
_GROUP = 32
#: Values of a block of cosines.
_BLOCK = 2**24


@dataclass(frozen=True)
class Neighbours:
    """Indices of neighbours and their cosines, (n, 5) each; index -1 where there is none."""

    nearest: Indices
    nearest_cosine: Rows
    opposed: Indices
    opposed_cosine: Rows


def neighbours(rows: Rows, known: NDArray[np.bool_], *, seed: int = 0) -> Neighbours:
    """Find the nearest and the most opposed problems of each problem.

    In pools of more than 12,000, a random projection proposes 64 of each kind, among which the best
    are chosen by their exact cosine.

    Args:
        rows: (n, d) unit rows.
        known: (n,) problems that have a row; the others have no neighbours and are none.
        seed: Seed of the projection.

    Returns:
        Neighbours, the strongest first. Only negative cosines are opposed.

    Example:
        >>> rows = np.array([[1, 0], [0.6, 0.8], [-1, 0]], dtype=np.float32)
        >>> found = neighbours(rows, np.ones(3, bool))
        >>> found.nearest[:, 0].tolist(), found.opposed[:, 0].tolist()
        ([1, 0, -1], [2, 2, 0])
    """
    shape = (len(rows), COUNT)
    found = Neighbours(
        np.full(shape, -1, np.int32),
        np.full(shape, np.nan, np.float32),
        np.full(shape, -1, np.int32),
        np.full(shape, np.nan, np.float32),
    )
    index = np.flatnonzero(known)
    own = rows if known.all() else rows[index]
    proposed, few = own, COUNT
    if len(index) > _EXACT and rows.shape[1] > _WIDTH:
        signs = np.random.default_rng(seed).integers(0, 2, (rows.shape[1], _WIDTH)) * 2 - 1
        proposed, few = own @ (signs / np.sqrt(_WIDTH)).astype(np.float32), _PROPOSED
    height = max(1, _BLOCK // max(1, len(index)))
    for begin in range(0, len(index), height):
        part = slice(begin, begin + height)
        cosines = proposed[part] @ proposed.T
        itself = np.arange(len(cosines)), begin + np.arange(len(cosines))
        for sign, where, values in (
            (1, found.nearest, found.nearest_cosine),
            (-1, found.opposed, found.opposed_cosine),
        ):
            cosines[itself] = -sign * np.inf
            best = _largest(cosines, sign, min(few, len(index) - 1))
            exact = sign * np.take_along_axis(cosines, best, axis=1)
            if few > COUNT:  # those were cosines of projected rows
                exact = sign * np.stack(
                    [own[columns] @ row for columns, row in zip(best, own[part], strict=True)]
                )
            order = np.argsort(-exact, axis=1, kind="stable")[:, :COUNT]
            best = np.take_along_axis(best, order, axis=1)
            exact = np.take_along_axis(exact, order, axis=1)
            kept = exact > 0.0
            where[index[part], : best.shape[1]] = np.where(kept, index[best], -1)
            values[index[part], : best.shape[1]] = np.where(kept, sign * exact, np.nan)
    return found


def _largest(values: Rows, sign: int, few: int) -> NDArray[np.int64]:
    """Return the columns of each row's largest (sign 1) or smallest (-1) values, in any order.

    The largest of a row are in the groups of columns that have the largest maxima, so that only
    those groups are searched: most of the work is a maximum, which is much faster than a search.
    """
    count = values.shape[1] // _GROUP
    if count <= few:
        return _first(-sign * values, few)
    grouped = values[:, : count * _GROUP].reshape(len(values), _GROUP, count)
    tops = grouped.max(axis=1) if sign > 0 else -grouped.min(axis=1)
    groups = _first(-tops, few)
    columns = (groups[:, None, :] + count * np.arange(_GROUP)[:, None]).reshape(len(values), -1)
    rest = np.arange(count * _GROUP, values.shape[1])
    columns = np.hstack([columns, np.broadcast_to(rest, (len(values), len(rest)))])
    inside = _first(-sign * np.take_along_axis(values, columns, axis=1), few)
    return np.take_along_axis(columns, inside, axis=1)


def _first(values: Rows, few: int) -> NDArray[np.int64]:
    """Return the columns of each row's ``few`` smallest values, in any order."""
    return np.argpartition(values, max(few - 1, 0), axis=1)[:, :few]
