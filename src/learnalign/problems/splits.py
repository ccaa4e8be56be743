"""The split that a file or a list belongs to, by its name, with the rules of ``datasets``."""

import re
from collections.abc import Iterable

from learnalign.errors import LearnAlignError

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_CANONICAL = {name: split for split, names in _NAMES.items() for name in names}
#: A word that names a split, delimited by punctuation, spaces or digits.
_WORD = re.compile(
    rf"(?:^|[-._ 0-9])({'|'.join(sorted(_CANONICAL, key=len, reverse=True))})(?=$|[-._ 0-9])",
    re.IGNORECASE,
)
#: The start of a word at a capital letter.
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

#: A shard of a split as written by ``datasets``; the split may have a longer name (``train_sft``).
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(?=\.|$)")
_BEGINS = re.compile(rf"({'|'.join(_CANONICAL)})(?=$|[-._ ])", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """Return the split that a file, a folder or a key belongs to; None if its name has none.

    Example:
        >>> split_of("train-00000-of-00002.parquet"), split_of("gsm8k_test.jsonl")
        ('train', 'test')
        >>> split_of("gsm8kTest.jsonl"), split_of("unittest.jsonl")
        ('test', None)
        >>> split_of("dev"), split_of("latest.jsonl"), split_of("constrained.csv")
        ('validation', None, None)
    """
    words = _CAPITAL.sub("-", name)
    splits = {_CANONICAL[word.lower()] for word in _WORD.findall(words)}
    return splits.pop() if len(splits) == 1 else None


def file_split(name: str) -> str | None:
    """Return the split of a file: as `split_of`, but a shard keeps a longer name of a split.

    Example:
        >>> file_split("train_sft-00000-of-00001.parquet"), file_split("train_sft.parquet")
        ('train_sft', 'train')
        >>> file_split("part-00000-of-00002.parquet") is None
        True
    """
    shard = _SHARD.match(name)
    return shard[1] if shard and _BEGINS.match(shard[1]) else split_of(name)


def chosen_split(requested: str, available: Iterable[str], location: str) -> str:
    """Find the requested split or an alias of it among the available splits.

    Raises:
        LearnAlignError: if it is not available.

    Example:
        >>> chosen_split("validation", ["train", "dev"], "x.json")
        'dev'
    """
    names = list(available)
    if requested in names:
        return requested
    aliases = [name for name in names if split_of(name) == (split_of(requested) or requested)]
    if len(aliases) == 1:
        return aliases[0]
    raise LearnAlignError(
        f"'{location}' has no split '{requested}'",
        expected="one of " + ", ".join(names),
        do="name it with --split",
    )
