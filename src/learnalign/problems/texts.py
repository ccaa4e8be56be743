"""When two texts are the same problem: normal form, and long runs of words in common."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_LOOSE = re.compile(r"[.,;:?\"“”„](?!\d)")
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")


def normal(text: str) -> str:
    """Bring a text into normal form: case, spaces and sentence punctuation do not count.

    Signs that carry meaning in mathematics stay (``3.5``, ``5!``, ``f'(x)``, ``-``).

    Example:
        >>> normal("What is  3.5 - 2?") == normal("what is 3.5 - 2"), normal("3 - 2") == normal("3+2")
        (True, False)
    """  # noqa: E501
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_LOOSE.sub(" ", text).split())


class Benchmarks:
    """The problems a pool must not hold.

    Args:
        texts: (name, text) of each benchmark problem.
        ngram: Words in a row that must stand in both. A Chinese, Japanese or Korean character
            counts as a word.
    """

    def __init__(self, texts: Iterable[tuple[str, str]], *, ngram: int) -> None:
        self.ngram = ngram
        self.whole: dict[str, str] = {}
        self.runs: dict[tuple[str, ...], str] = {}
        counts: Counter[tuple[str, ...]] = Counter()
        problems = 0
        for name, text in texts:
            problems += 1
            self.whole.setdefault(normal(text), name)
            for run in set(_runs(text, ngram)):
                self.runs.setdefault(run, name)
                counts[run] += 1
        # A run in many benchmark problems is an instruction ("Let's think step by step ..."), not
        # a problem.
        usual = max(3, problems // 100)
        self.runs = {run: name for run, name in self.runs.items() if counts[run] <= usual}

    def match(self, text: str) -> str | None:
        """Say where a problem stands in the benchmarks, and what they share; None if it does not.

        Example:
            >>> benchmarks = Benchmarks([("b.jsonl:1", "How many cats?")], ngram=13)
            >>> benchmarks.match("how many cats")
            'b.jsonl:1: the same text'
        """
        name = self.whole.get(normal(text))
        if name is not None:
            return f"{name}: the same text"
        for run in _runs(text, self.ngram):
            if run in self.runs:
                return f"{self.runs[run]}: '{' '.join(run)}'"
        return None


def _runs(text: str, ngram: int) -> Iterable[tuple[str, ...]]:
    words = _WORDS.findall(normal(text))
    return (tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1))
