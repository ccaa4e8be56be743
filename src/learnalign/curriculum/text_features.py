"""Features of problems from their texts alone, for a curriculum that shares what it observes.

A text is its words and pairs of words, in lower case, with every digit as 0, so that numbers of the
same length are the same word. Each is hashed to a bucket, weighted by (1 + log tf) idf, and the
buckets are projected to a few dimensions by random signs, which keeps inner products up to an error
of 1 / sqrt(d). The last column is the standardised logarithm of the length. Chinese and Japanese,
which are written without spaces, have one word per character; their pairs are bigrams.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learnalign.curriculum.checks import require_whole
from learnalign.errors import LearnAlignError

_BUCKETS = 1 << 16
#: Kanji and Hanzi with their marks of repetition, Hiragana and Katakana (of half width too).
_CJK = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
#: Columns that a source's name gets.
_SOURCE = 16
_DIGIT = re.compile(r"\d")


def text_features(
    texts: Sequence[str], *, size: int = 64, sources: Sequence[str | None] | None = None
) -> NDArray[np.float32]:
    """Return features of texts.

    Args:
        texts: n texts. `learnalign.integrations.groups.prompt_texts` makes them of conversations.
        size: d, dimensions of the projection; at least 1.
        sources: n names of the data sets that the texts come from. If there are several, random
            signs of each are 16 more columns, of norm 1.

    Returns:
        (n, d + 1) float32, or (n, d + 17). The first d columns of a text have norm 1, or 0 if all
        its words are in every text, as where all texts are equal, or it has none.

    Raises:
        LearnAlignError: if a text is not a string, or not every one has a source.

    Example:
        >>> found = text_features(["12 + 30 =", "45 + 71 =", "Name a prime."])
        >>> found.shape, bool(np.allclose(found[0], found[1])), bool(found[0] @ found[2] < 0.6)
        ((3, 65), True, True)
    """
    _check(texts, size, sources)
    hashes = _Hash()
    rows = [_buckets(text, hashes) for text in texts]
    found = np.zeros(_BUCKETS, dtype=np.int64)
    for buckets, _ in rows:
        found[buckets] += 1
    idf = np.log((1 + len(rows)) / (1 + found)).astype(np.float32)
    signs = np.random.default_rng(0).integers(0, 2, (_BUCKETS, size), dtype=np.int8) * 2 - 1
    features = np.zeros((len(rows), size + 1), dtype=np.float32)
    for row, (buckets, counts) in zip(features, rows, strict=True):
        row[:size] = ((1 + np.log(counts)) * idf[buckets]).astype(np.float32) @ signs[buckets]
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    features /= np.maximum(norms, 1e-6)
    lengths = np.log1p([len(text) for text in texts])
    if len(lengths):
        features[:, size] = (lengths - lengths.mean()) / max(float(lengths.std()), 1e-6)
    if sources is None or len(set(sources)) < 2:
        return features
    return np.concatenate([features, _source_signs(sources)], axis=1)


def _source_signs(sources: Sequence[str | None]) -> NDArray[np.float32]:
    """Return (n, 16) signs / 4 that depend on the source's name alone."""
    table = {}
    for name in set(sources):
        seed = zlib.crc32(str(name).encode(errors="surrogatepass"))
        table[name] = np.random.default_rng(seed).integers(0, 2, _SOURCE) * 2 - 1
    signs = np.stack([table[name] for name in sources]).astype(np.float32)
    return signs / np.float32(np.sqrt(_SOURCE))


def _check(texts: Sequence[str], size: int, sources: Sequence[str | None] | None) -> None:
    require_whole("size", size, at_least=1)
    wrong = [
        f"{text!r:.60} as text {i}" for i, text in enumerate(texts) if not isinstance(text, str)
    ]
    if wrong or isinstance(texts, str):
        raise LearnAlignError(
            f"got {wrong[0] if wrong else 'one text'}",
            expected="a list of strings",
            do="pass '' for a missing text, and the joined contents of a conversation",
        )
    if sources is not None and len(sources) != len(texts):
        raise LearnAlignError(
            f"got {len(sources)} sources of {len(texts)} texts",
            expected="one for each text",
            do="pass None for a text of no source",
        )


class _Hash(dict[str, int]):
    """The 32-bit hash of each word, computed once."""

    def __missing__(self, word: str) -> int:
        self[word] = found = zlib.crc32(word.encode(errors="surrogatepass"))
        return found


def _buckets(text: str, hashes: _Hash) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the buckets of a text's words and pairs of words, and how often each occurs."""
    found = _WORD.findall(_DIGIT.sub("0", text.lower()))
    words = np.array([hashes[word] for word in found], dtype=np.int64)
    pairs = words[:-1] * 31 + words[1:]
    return np.unique(np.concatenate([words, pairs]) % _BUCKETS, return_counts=True)
