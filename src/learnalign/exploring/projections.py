"""Project problems' vectors onto a plane: principal components, UMAP, and one map onto another."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes

from learnalign.errors import LearnAlignError

Rows = NDArray[np.float32]

#: Passes of the subspace iteration, and directions beyond those asked for, which make it exact.
_PASSES, _EXTRA = 4, 10
#: Share of the points inside the square from -1 to 1.
_INSIDE = 99.0


def principal_components(rows: Rows, count: int, *, seed: int = 0) -> Rows:
    """Project centred rows onto their first principal components.

    Randomized subspace iteration (Halko, Martinsson and Tropp 2011), in time linear in n and d.

    Args:
        rows: (n, d) float32.
        count: k, at most n and d are used.
        seed: Seed of the first directions.

    Returns:
        (n, k) float32, the component with the largest variance first. The sign of each is such that
        its largest value is positive.

    Example:
        >>> rows = np.array([[2, 0, 0], [-2, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=np.float32)
        >>> principal_components(rows, 2).round(3).tolist()
        [[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """
    number, width = rows.shape
    size = min(count + _EXTRA, number, width)
    if not size:
        return np.zeros((number, count), np.float32)
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    basis = np.random.default_rng(seed).normal(size=(width, size)).astype(np.float32)
    for _ in range(_PASSES):
        images = rows @ basis - mean @ basis
        basis = rows.T @ images - np.outer(mean, images.sum(axis=0))
        basis = np.linalg.qr(basis.astype(np.float64))[0].astype(np.float32)
    images = (rows @ basis - mean @ basis).astype(np.float64)
    vectors, lengths, _ = np.linalg.svd(images, full_matrices=False)
    found = (vectors * lengths)[:, :count]
    largest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    found = np.where(largest < 0.0, -1.0, 1.0) * found
    found = np.where(np.abs(found) < 1e-7 * lengths.max(initial=0.0), 0.0, found)
    return np.pad(found, ((0, 0), (0, count - found.shape[1]))).astype(np.float32)


def umap(rows: Rows, *, seed: int = 0) -> Rows:
    """Project rows onto a plane that keeps near neighbours near (UMAP, arXiv 1802.03426).

    Args:
        rows: (n, k) float32; Euclidean distances count.
        seed: The same seed gives the same map.

    Returns:
        (n, 2) float32.

    Raises:
        LearnAlignError: if umap-learn is not installed.
    """
    try:
        import umap as library
    except ImportError as error:
        raise LearnAlignError(
            "umap-learn is not installed",
            expected="the package behind --umap",
            do="run `pip install 'learnalign[umap]'`, or leave --umap out: principal components "
            "need no other package",
        ) from error
    neighbours = min(15, len(rows) - 1)
    if neighbours < 2:
        return principal_components(rows, 2, seed=seed)
    model = library.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
    return cast(Rows, model.fit_transform(rows).astype(np.float32))


def fitted(points: Rows) -> Rows:
    """Centre points and scale them, so that nearly all lie between -1 and 1.

    Example:
        >>> fitted(np.array([[0, 0], [4, 0], [2, 2], [2, -2]], dtype=np.float32)).tolist()
        [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    """
    if not len(points):
        return points
    centred = points - np.median(points, axis=0)
    radius = float(np.percentile(np.abs(centred).max(axis=1), _INSIDE))
    return (centred / max(radius, 1e-12)).astype(np.float32)


def turned(points: Rows, onto: Rows, known: NDArray[np.bool_]) -> Rows:
    """Turn (and mirror) one map so that it lies as close as possible to another.

    Args:
        points: (n, 2) the map to turn.
        onto: (n, 2) the map that stays.
        known: (n,) problems that are on both.

    Example:
        >>> one = np.array([[1, 0], [0, 2], [-1, -2]], dtype=np.float32)
        >>> quarter = one @ np.array([[0, 1], [-1, 0]], dtype=np.float32)
        >>> bool(np.allclose(turned(quarter, one, np.ones(3, bool)), one, atol=1e-6))
        True
    """
    if known.sum() < 2:
        return points
    rotation, _ = orthogonal_procrustes(points[known], onto[known])
    return cast(Rows, (points @ rotation).astype(np.float32))
