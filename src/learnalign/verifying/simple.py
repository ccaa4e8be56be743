"""Answers that need no algebra: exact text, multiple choice, a number."""

import re
from fractions import Fraction

from learnalign.verifying.judgement import Judgement, judged, marked_answer, unparsed

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+(?:\.\d+)?)?")
_LETTER = re.compile(r"(?<![A-Za-z])\(?([A-Z])\)?(?![A-Za-z'])")
_SAID = re.compile(
    r"(?:answer|option|choice)(?:\s+(?:is|would be))?\s*[:=]?\s*[*$({\[\s]*"
    r"(?:\\(?:text|mathrm)\{)?([A-Za-z])(?![A-Za-z'])",
    re.IGNORECASE,
)


def parse_text(gold: str) -> str | None:
    """Take a gold text; only spaces at its ends and between its words are free."""
    return " ".join(gold.split()) or None


def judge_text(gold: str, completion: str) -> Judgement:
    """Compare the marked answer, or else the whole completion, with the gold, letter by letter."""
    marked = marked_answer(completion)
    text = " ".join((completion if marked is None else marked).split())
    return judged(text == gold, text) if text else unparsed()


def parse_choice(gold: str) -> str | None:
    """Take a gold letter: ``B``, ``(B)``, ``b.``, ``B: some text``.

    Example:
        >>> parse_choice("(b)"), parse_choice("C. a cat"), parse_choice("cat")
        ('B', 'C', None)
    """
    found = re.match(r"\s*\(?([A-Za-z])\)?\s*(?:[.:)].*)?$", gold, re.DOTALL)
    return found.group(1).upper() if found else None


def judge_choice(gold: str, completion: str) -> Judgement:
    """Compare the letter that was marked, said to be the answer, or stands last.

    Example:
        >>> judge_choice("B", "A is wrong, so the answer is (B).").verdict
        'correct'
    """
    marked = marked_answer(completion)
    letter = parse_choice(_without_text(marked)) if marked is not None else None
    if letter is None:
        said = _SAID.findall(completion)
        letter = said[-1].upper() if said else None
    if letter is None:
        # "A" is an article, too: it counts only where it stands alone or in brackets.
        letters = [
            m.group(1)
            for m in _LETTER.finditer(completion)
            if m.group(1) not in "AI" or m.group(0) != m.group(1) or completion.strip() in "AI"
        ]
        letter = letters[-1] if letters else None
    return unparsed() if letter is None else judged(letter == gold, letter)


def parse_number(gold: str) -> Fraction | None:
    r"""Take a gold number, exactly: whole, decimal, with commas, with an exponent, a fraction.

    Example:
        >>> parse_number("$1,234.50"), parse_number("3/6"), parse_number("9 (apples)")
        (Fraction(2469, 2), Fraction(1, 2), Fraction(9, 1))
        >>> parse_number("many") is None
        True
    """
    numbers = _numbers(gold)
    return numbers[0][1] if numbers else None


def judge_number(gold: Fraction, completion: str) -> Judgement:
    """Compare the last number of the marked answer, or else of the completion, exactly.

    Example:
        >>> judge_number(Fraction(10), " 10.0\\n").verdict, judge_number(Fraction(10), "none").verdict
        ('correct', 'unparsed_answer')
    """  # noqa: E501, D301
    marked = marked_answer(completion)
    numbers = _numbers(completion if marked is None else _without_text(marked))
    return judged(numbers[-1][1] == gold, numbers[-1][0]) if numbers else unparsed()


def _numbers(text: str) -> list[tuple[str, Fraction]]:
    found = []
    text = re.sub(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", r"\1/\2", text.replace("\\,", ""))
    for match in _NUMBER.finditer(text):
        # A minus right behind a number or a word is a sign of subtraction or a hyphen.
        written = match.group(0)
        before = text[: match.start()]
        behind_number = before.rstrip()[-1:].isdigit() or before.rstrip()[-1:] in {")", "}"}
        if written[0] in "+-" and (behind_number or before[-1:].isalpha()):
            written = written[1:]
        above, _, below = written.replace(",", "").replace(" ", "").partition("/")
        if below and Fraction(below) == 0:
            continue
        if len(above) < 400 and abs(int((re.search(r"[eE]([-+]?\d+)", above) or [0, 0])[1])) < 400:
            found.append((written, Fraction(above) / Fraction(below or 1)))
    return found


def _without_text(marked: str) -> str:
    return re.sub(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}", r"\1", marked)
