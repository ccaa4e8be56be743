"""Groups of near problems, each named by its most telling words."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

_WORD = re.compile(r"[^\W\d_]{3,}")
#: Words of a name, and the largest number of groups.
_WORDS, _MOST = 3, 16


def clusters(
    vectors: NDArray[np.float32], known: NDArray[np.bool_], *, seed: int = 0
) -> NDArray[np.int32]:
    """Group problems by k-means.

    Args:
        vectors: (n, k) float32.
        known: (n,) problems that have a vector.
        seed: The same seed gives the same groups.

    Returns:
        (n,) the group of each problem, the largest group 0; -1 where ``known`` is False.

    Example:
        >>> points = np.array([[0, 0], [0, 1], [0, 2], [9, 0], [9, 1]] * 3, dtype=np.float32)
        >>> clusters(points, np.ones(15, bool)).tolist()[:5]
        [0, 0, 0, 1, 1]
    """
    groups = np.full(len(vectors), -1, np.int32)
    index = np.flatnonzero(known)
    if not len(index):
        return groups
    distinct = len(np.unique(vectors[index], axis=0))
    count = int(min(np.clip(round(np.sqrt(len(index) / 50)), 2, _MOST), distinct))
    scale = float(vectors[index].std()) or 1.0
    _, found = kmeans2(vectors[index] / scale, count, minit="++", seed=seed, missing="warn")
    sizes = np.bincount(found, minlength=count)
    places = np.empty(count, np.int32)
    places[np.lexsort((np.arange(count), -sizes))] = np.arange(count)
    groups[index] = places[found]
    return groups


def telling_words(texts: Sequence[str], groups: NDArray[np.int32]) -> list[str]:
    """Name each group by the words that tell it apart (class-based TF-IDF, arXiv 2203.05794).

    A word counts once for each problem that contains it.

    Args:
        texts: n texts.
        groups: (n,) group of each, -1 for none.

    Returns:
        A name for each group, such as ``triangle, angle, side``.

    Example:
        >>> telling_words(["the red cat", "a red dog", "the sum is odd"], np.array([0, 0, 1]))
        ['red, cat, dog', 'odd, sum, the']
    """
    count = int(groups.max(initial=-1)) + 1
    inside: list[Counter[str]] = [Counter() for _ in range(count)]
    for text, group in zip(texts, groups.tolist(), strict=True):
        if group >= 0:
            inside[group].update({word.lower() for word in _WORD.findall(text)})
    everywhere = sum(inside, Counter())
    sizes = np.bincount(groups[groups >= 0], minlength=count)
    total = max(1, int(sizes.sum()))
    names = []
    for number, words in enumerate(inside):
        size = max(1, int(sizes[number]))
        weights = {
            word: times / size * np.log((times / size) / (everywhere[word] / total))
            for word, times in words.items()
        }
        best = sorted(weights, key=lambda word: (-weights[word], -words[word], word))[:_WORDS]
        names.append(", ".join(best) or f"group {number + 1}")
    return [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
