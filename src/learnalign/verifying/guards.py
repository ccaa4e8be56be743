r"""Size limits for text passed to parsers, which might otherwise never finish.

Text within these limits may still exceed a worker's time or memory limit, but rarely does.
"""

import re

from learnalign.verifying.answers.notation import with_single_brackets

#: High enough to accept all answers in the recorded completions and public data sets we checked.
MAX_CHARACTERS = 2_000
MAX_DEPTH = 20
MAX_EXPONENT = 200_000
MAX_FACTORIAL = 5_000
#: Matched from a number's first digit, with few spaces, so that the search takes linear time.
_NUMBER, _RAISED = r"(?<!\d)(\d+)\s?[)}]{0,9}\s?", r"(?:\^|\*\*)\s?[{(]{0,9}\s?[-+]?"
_EXPONENT = re.compile(rf"{_RAISED}(\d[\d,]*)")
_NESTED = re.compile(rf"{_NUMBER}{_RAISED}(\d+)\s?{_RAISED}(\d+)\s?(\^|\*\*)?")
_FACTORIAL = re.compile(rf"{_NUMBER}!|!\s?[)}}]{{0,9}}\s?!")
_SCIENTIFIC = re.compile(r"(?<=\d)[eE][-+]?(\d+)")
_TOWER = re.compile(r"(?:\^[{(]*[^-+*/=,\s^{}()]*){5}")
#: (9^{9999})^{9999} and (5000!)^{5000}: each part alone is within the limits.
_RAISED_WHOLE = re.compile(r"(?:\^\s?\{?\d{3,}|!)[^()]{0,9}\)\s?(?:\^\s?\{?\d{3,}|!)")
#: Text to which only the limit on length applies.
_TAME = re.compile(r"[^\^*!eE([{]*")


def refusal(text: str) -> str | None:
    r"""Return why a text is too large for a parser; None if it is not.

    Example:
        >>> refusal(r"\frac{1}{1501!}"), refusal("2^{2024}"), refusal("9^{9^{9}}")
        (None, None, 'an exponent of about 9^9')
        >>> refusal("100000000!"), refusal("[" * 100 + "]" * 100)
        ('the factorial of 100000000', 'brackets 100 deep')
    """
    if len(text) > MAX_CHARACTERS:
        return f"{len(text)} characters"
    if _TAME.fullmatch(text):
        return None
    text = with_single_brackets(text)
    depth = _bracket_depth(text)
    if depth > MAX_DEPTH:
        return f"brackets {depth} deep"
    if _TOWER.search(text):
        return "a tower of exponents"
    if _RAISED_WHOLE.search(text):
        return "a power of a power or of a factorial"
    return _exponent_refusal(text) or _factorial_refusal(text)


def _bracket_depth(text: str) -> int:
    deepest = depth = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _exponent_refusal(text: str) -> str | None:
    for match in _NESTED.finditer(text):
        base, power, more = int(match[2][:6]), int(match[3][:6]), match[4]
        if more or power * len(match[2]) > 40 or base**power > MAX_EXPONENT:
            return f"an exponent of about {match[2]}^{match[3]}{'^...' if more else ''}"
    for match in _EXPONENT.finditer(text):
        digits = match[1].replace(",", "")
        if len(digits) > 8 or int(digits) > MAX_EXPONENT:
            return f"an exponent of {_short(digits)}"
    for match in _SCIENTIFIC.finditer(text):
        if len(match[1]) > 8 or int(match[1]) > MAX_EXPONENT:
            return f"an exponent of {_short(match[1])}"
    return None


def _factorial_refusal(text: str) -> str | None:
    for match in _FACTORIAL.finditer(text):
        if match[1] is None:
            return "a factorial of a factorial"
        if len(match[1]) > 8 or int(match[1]) > MAX_FACTORIAL:
            return f"the factorial of {_short(match[1])}"
    return None


def _short(digits: str) -> str:
    return digits if len(digits) <= 12 else f"{digits[:12]}..."
