"""Pairs of nearly equal texts: MinHash finds candidates, their shingles are compared exactly.

A shingle is three consecutive words of the normal form. Two texts are candidates if they have the
same numbers, and the same minima in one of 16 bands of three hash functions: a pair with
similarity (Jaccard, of the sets of shingles) s is found with probability 1 - (1 - s^3)^16, which
is 0.88 at 0.5 and 0.999 at 0.7.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from learnalign.problems.texts import normal

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")
_WORD_OR_COMMAND = re.compile(r"\\[a-z]+|" + _WORD.pattern)
#: Words and signs that change no problem.
_EMPTY = frozenset(".,;:?!${}()[]\\~&'\"") | {
    *("\\left", "\\right", "\\quad", "\\qquad", "\\text", "\\mathbf", "\\mathbb", "\\mathrm"),
    *("\\displaystyle", "\\begin", "\\end"),
    *("a", "an", "the", "and", "then", "that", "so", "is", "are", "please"),
}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SHINGLE, _BANDS, _ROWS = 3, 16, 3
#: A text is compared with at most so many others of its bucket, the next ones in the pool.
_NEIGHBOURS = 20
#: The fewest texts that can tell an instruction from a question.
_LEAST = 100
_MULTIPLIERS = np.random.default_rng(0).integers(1, 2**63, _BANDS * _ROWS, np.uint64) * 2 + 1


@dataclass(frozen=True)
class Pair:
    """Two similar texts, by their indices."""

    first: int
    second: int
    similarity: float
    """Jaccard similarity of their shingles, from 0 to 1."""


def similar_pairs(texts: Sequence[str], *, least: float) -> Iterator[Pair]:
    """Yield the pairs of texts that are at least as similar as ``least``, each once.

    Example:
        >>> text = "Ann has 3 red apples and buys 4 more at the market. How many has she now?"
        >>> other = text.replace("market", "shop")
        >>> [(p.first, p.second, round(p.similarity, 2)) for p in similar_pairs(
        ...     [text, "Something else", other, text.replace("4", "5")], least=0.6)]
        [(0, 2, 0.67)]
    """
    sets = _without_boilerplate([_shingles(text) for text in texts])
    buckets: dict[bytes, list[int]] = {}
    for index, (text, shingles) in enumerate(zip(texts, sets, strict=True)):
        numbers = " ".join(sorted(_NUMBER.findall(text))).encode()
        minima = _minima(shingles)
        for band in range(_BANDS):
            rows = minima[band * _ROWS : (band + 1) * _ROWS].tobytes()
            buckets.setdefault(bytes([band]) + rows + numbers, []).append(index)
    seen: set[tuple[int, int]] = set()
    for members in buckets.values():
        for place, first in enumerate(members):
            for second in members[place + 1 : place + 1 + _NEIGHBOURS]:
                if (first, second) in seen:
                    continue
                seen.add((first, second))
                one, other = sets[first], sets[second]
                similarity = len(one & other) / len(one | other)
                if similarity >= least:
                    yield Pair(first, second, similarity)


def different_words(one: str, other: str) -> int:
    r"""Count the words that differ between two texts, in their order.

    Punctuation, articles, conjunctions, and LaTeX commands without a meaning do not count.

    Example:
        >>> different_words("Find $a+b$, the sum.", r"Find \left(a+b\right) the sum"), \
        ...     different_words("Find the largest sum", "Find the smallest sum")
        (0, 1)
    """
    first, second = (
        [word for word in _WORD_OR_COMMAND.findall(normal(text)) if word not in _EMPTY]
        for text in (one, other)
    )
    changes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for kind, a, b, c, d in changes if kind != "equal")


def _shingles(text: str) -> frozenset[int]:
    words = _WORD.findall(normal(text))
    count = max(1, len(words) - _SHINGLE + 1)
    runs = (" ".join(words[i : i + _SHINGLE]) for i in range(count))
    return frozenset(zlib.crc32(run.encode()) for run in runs)


def _without_boilerplate(sets: list[frozenset[int]]) -> list[frozenset[int]]:
    """Leave out the shingles of more than a tenth of the texts, such as instructions."""
    if len(sets) < _LEAST:
        return sets
    counts = Counter(shingle for shingles in sets for shingle in shingles)
    common = {shingle for shingle, count in counts.items() if 10 * count > len(sets)}
    return [shingles - common or shingles for shingles in sets]


def _minima(shingles: frozenset[int]) -> NDArray[np.uint32]:
    """Return the smallest value of each hash function over a text's shingles."""
    values = np.fromiter(shingles, np.uint64, len(shingles))
    hashed = (values[:, None] * _MULTIPLIERS) >> np.uint64(32)
    return np.asarray(hashed.min(axis=0), dtype=np.uint32)
