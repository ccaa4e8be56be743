r"""Size limits for text passed to parsers, which might otherwise never finish.

What gets past these caps may still cost a worker its time limit or its memory limit; the caps are
there so that this is rare.
"""

import re

from learnalign.verifying.answers.notation import with_single_brackets

#: No answer of the recorded completions and public data sets that were measured is refused.
MAX_CHARACTERS = 2_000
MAX_DEPTH = 20
MAX_EXPONENT = 200_000
MAX_FACTORIAL = 5_000
#: A number is looked at from its first digit on, and spaces are few: no search restarts.
_NUMBER, _RAISED = r"(?<!\d)(\d+)\s?[)}]{0,9}\s?", r"(?:\^|\*\*)\s?[{(]{0,9}\s?[-+]?"
_EXPONENT = re.compile(rf"{_RAISED}(\d[\d,]*)")
_NESTED = re.compile(rf"{_NUMBER}{_RAISED}(\d+)\s?{_RAISED}(\d+)\s?(\^|\*\*)?")
_FACTORIAL = re.compile(rf"{_NUMBER}!|!\s?[)}}]{{0,9}}\s?!")
_SCIENTIFIC = re.compile(r"(?<=\d)[eE][-+]?(\d+)")
_TOWER = re.compile(r"(?:\^[{(]*[^-+*/=,\s^{}()]*){5}")
#: (9^{9999})^{9999} and (5000!)^{5000}: each alone is within the caps.
_RAISED_WHOLE = re.compile(r"(?:\^\s?\{?\d{3,}|!)[^()]{0,9}\)\s?(?:\^\s?\{?\d{3,}|!)")
#: What none of the caps but that on length is about.
_TAME = re.compile(r"[^\^*!eE([{]*")


def refusal(text: str) -> str | None:
    r"""Return why a text is not passed to a parser; None if it is.

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
    for found in _NESTED.finditer(text):
        base, power, more = int(found[2][:6]), int(found[3][:6]), found[4]
        if more or power * len(found[2]) > 40 or base**power > MAX_EXPONENT:
            return f"an exponent of about {found[2]}^{found[3]}{'^...' if more else ''}"
    for found in _EXPONENT.finditer(text):
        digits = found[1].replace(",", "")
        if len(digits) > 8 or int(digits) > MAX_EXPONENT:
            return f"an exponent of {_short(digits)}"
    for found in _SCIENTIFIC.finditer(text):
        if len(found[1]) > 8 or int(found[1]) > MAX_EXPONENT:
            return f"an exponent of {_short(found[1])}"
    return None


def _factorial_refusal(text: str) -> str | None:
    for found in _FACTORIAL.finditer(text):
        if found[1] is None:
            return "a factorial of a factorial"
        if len(found[1]) > 8 or int(found[1]) > MAX_FACTORIAL:
            return f"the factorial of {_short(found[1])}"
    return None


def _short(digits: str) -> str:
    return digits if len(digits) <= 12 else f"{digits[:12]}..."
