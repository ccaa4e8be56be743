"""Which split a file or a list belongs to, by its name, with the rules of ``datasets``."""

import re
from collections.abc import Iterable

from learnalign.errors import LearnAlignError

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_CANONICAL = {name: split for split, names in _NAMES.items() for name in names}
#: A word that names a split, with nothing but signs and digits around it.
_WORD = re.compile(
    rf"(?:^|[-._ 0-9])({'|'.join(sorted(_CANONICAL, key=len, reverse=True))})(?=$|[-._ 0-9])",
    re.IGNORECASE,
)
#: Where a capital letter begins a word.
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

#: A shard of a split, as ``datasets`` writes it: the split may have a longer name (``train_sft``).
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(?=\.|$)")
_BEGINS = re.compile(rf"({'|'.join(_CANONICAL)})(?=$|[-._ ])", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """Name the split that a file, a folder or a key belongs to; None if its name says nothing.

    Example:
        >>> split_of("train-00000-of-00002.parquet"), split_of("gsm8k_test.jsonl")
        ('train', 'test')
        >>> split_of("gsm8kTest.jsonl"), split_of("unittest.jsonl")
        ('test', None)
        >>> split_of("dev"), split_of("latest.jsonl"), split_of("constrained.csv")
        ('validation', None, None)
    """
    words = _CAPITAL.sub("-", name)
    found = {_CANONICAL[word.lower()] for word in _WORD.findall(words)}
    return found.pop() if len(found) == 1 else None


def file_split(name: str) -> str | None:
    """Name the split of a file: as `split_of`, but a shard's whole name where a split begins it.

    Example:
        >>> file_split("train_sft-00000-of-00001.parquet"), file_split("train_sft.parquet")
        ('train_sft', 'train')
        >>> file_split("part-00000-of-00002.parquet") is None
        True
    """
    shard = _SHARD.match(name)
    return shard[1] if shard and _BEGINS.match(shard[1]) else split_of(name)


def chosen_split(wanted: str, there: Iterable[str], place: str) -> str:
    """Find the requested split among the available ones, also by its aliases.

    Raises:
        LearnAlignError: if it is not there.

    Example:
        >>> chosen_split("validation", ["train", "dev"], "x.json")
        'dev'
    """
    names = list(there)
    if wanted in names:
        return wanted
    same = [name for name in names if split_of(name) == (split_of(wanted) or wanted)]
    if len(same) == 1:
        return same[0]
    raise LearnAlignError(
        f"'{place}' has no split '{wanted}'",
        expected="one of " + ", ".join(names),
        do="name it with --split",
    )
