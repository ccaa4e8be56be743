"""When two texts are the same problem: normal form, and long runs of words in common."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

#: Raised and lowered signs, which NFKC makes plain: 2³ is not 23.
_RAISED = {ord(c): f"^{p}" for c, p in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni", strict=True)}
_RAISED |= {ord(c): f"_{p}" for c, p in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}
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
    """Bring a text into normal form: case, spaces and sentence punctuation do not count.

    Signs that carry meaning in mathematics stay (``3.5``, ``5!``, ``f'(x)``, ``-``).

    Example:
        >>> normal("What is  3.5 - 2?") == normal("what is 3.5 - 2"), normal("3 - 2") == normal("3+2")
        (True, False)
    """  # noqa: E501
    text = unicodedata.normalize("NFKC", text.translate(_RAISED)).casefold()
    return " ".join(_LOOSE.sub(" ", text).split())


def gold_key(gold: str) -> str:
    r"""Return a normal form that equal gold answers share, regardless of markup.

    What it does not see through (``x+1`` and ``1+x``) stays different: no two answers that differ
    share a form.

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
    text = unicodedata.normalize("NFKC", gold.translate(_RAISED)).strip().removesuffix(".")
    before = None
    while text != before:
        before = text
        for wrapper in _WRAPPERS:
            whole = wrapper.fullmatch(text)
            if whole:
                text = next(part for part in whole.groups() if part is not None).strip()
    text = _NO_MEANING.sub("", text)
    if re.search(r"\d\s|\s\d|[^\w\s]", text):  # words keep their spaces
        text = re.sub(r"\s+", "", text) if not re.search(r"\d\s+\d", text) else text
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        sign, above, below, plain, under = fraction.groups()
        above, below = (sign + above, below) if above else (plain, under)
        if int(below):
            return str(Fraction(int(above), int(below)))
    return str(Fraction(text)) if _NUMBER.fullmatch(text) else " ".join(text.split())


class Benchmarks:
    """The problems a pool must not hold.

    Args:
        texts: (name, text) of each benchmark problem.
        ngram: Consecutive words that must occur in both. A Chinese, Japanese or Korean character
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
        """Return which benchmark contains a problem, and the shared text; None if none does.

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
