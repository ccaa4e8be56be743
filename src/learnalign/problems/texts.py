"""Deciding whether two texts are the same problem: normal form and shared n-grams."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

#: Superscripts and subscripts, which NFKC would turn into plain digits: 2³ is not 23.
_SCRIPTS = {ord(c): f"^{p}" for c, p in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni", strict=True)}
_SCRIPTS |= {ord(c): f"_{p}" for c, p in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}
_LOOSE = re.compile(r"[.,;:?\"“”„](?!\d)")
_WRAPPERS = (
    re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm|fbox)\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"),
    re.compile(r"\$\$?([^$]*)\$\$?"),
    re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL),
)
_NO_MEANING = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;: ]")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d{1,50})\}\{(\d{1,50})\}|(-?\d{1,50})/(\d{1,50})")
_NUMBER = re.compile(r"[-+]?(\d{1,50}(\.\d{0,50})?|\.\d{1,50})")
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s]")


def normal(text: str) -> str:
    """Normalize a text: ignore case, whitespace and sentence punctuation.

    Signs with a mathematical meaning are kept (``3.5``, ``5!``, ``f'(x)``, ``-``).

    Example:
        >>> normal("What is  3.5 - 2?") == normal("what is 3.5 - 2"), normal("3 - 2") == normal("3+2")
        (True, False)
    """  # noqa: E501
    text = unicodedata.normalize("NFKC", text.translate(_SCRIPTS)).casefold()
    return " ".join(_LOOSE.sub(" ", text).split())


def gold_key(gold: str) -> str:
    r"""Return a normal form that equal gold answers share, independent of markup.

    It is conservative: different answers never share a form, but equal ones may differ (``x+1`` and
    ``1+x``).

    Example:
        >>> {gold_key(text) for text in ("4", "4.0", r"\boxed{4}", "$4$", r"\frac{8}{2}", " 4.")}
        {'4'}
        >>> gold_key("1,234.50") == gold_key("1234.5"), gold_key("0.5") == gold_key("1/2")
        (True, True)
        >>> gold_key("(1, 2)") == gold_key("(1,2)"), gold_key("a") == gold_key("A")
        (True, False)
        >>> gold_key("2³") == gold_key("23"), gold_key("2³") == gold_key("2^3")
        (False, True)
    """
    text = unicodedata.normalize("NFKC", gold.translate(_SCRIPTS)).strip().removesuffix(".")
    before = None
    while text != before:
        before = text
        for wrapper in _WRAPPERS:
            match = wrapper.fullmatch(text)
            if match:
                text = next(part for part in match.groups() if part is not None).strip()
    text = _NO_MEANING.sub("", text)
    if re.search(r"\d\s|\s\d|[^\w\s]", text):  # words keep their spaces
        text = re.sub(r"\s+", "", text) if not re.search(r"\d\s+\d", text) else text
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        sign, top, bottom, plain_top, plain_bottom = fraction.groups()
        top, bottom = (sign + top, bottom) if top else (plain_top, plain_bottom)
        if int(bottom):
            return str(Fraction(int(top), int(bottom)))
    return str(Fraction(text)) if _NUMBER.fullmatch(text) else " ".join(text.split())


class Benchmarks:
    """Benchmark problems that a pool must not contain.

    Args:
        texts: (name, text) of each benchmark problem.
        ngram: Number of consecutive words that must match. A Chinese, Japanese or Korean character
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
        # An n-gram in many benchmark problems is an instruction ("Let's think step by step ...").
        limit = max(3, problems // 100)
        self.runs = {run: name for run, name in self.runs.items() if counts[run] <= limit}

    def match(self, text: str) -> str | None:
        """Return the benchmark that contains a problem and the shared text; None without a match.

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
