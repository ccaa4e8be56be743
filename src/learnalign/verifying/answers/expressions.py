r"""Expressions, by math-verify: parsed, and compared relatively.

math-verify reads LaTeX (latex2sympy) and judges symbolic equality. Two numbers it calls equal when
their difference rounds to zero, so that 1e-20 equals 1e-30: here values are compared relatively, at
high precision, and only expressions that agree so at a few points are put to it.
"""

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import (
    ConversionConfig,
    NormalizationConfig,
    latex2sympy,
    normalize_latex,
)
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from sympy.core.relational import Relational

from learnalign.verifying.answers.numbers import Number

_NORMALIZATION = NormalizationConfig(
    basic_latex=True,
    units=False,
    malformed_operators=True,
    nits=True,
    boxed="none",
    equations=False,
)
#: m and M are two symbols.
_CONVERSION = ConversionConfig(lowercase_symbols=False)
# Time limits are the worker's.
logging.getLogger("math_verify").setLevel(logging.ERROR)
_DIGITS = 40
_CLOSE = sympy.Float("1e-25", _DIGITS)
#: Two expressions must agree at so many points to be called equal where math-verify does not.
_ENOUGH = 2
#: Positive values for the symbols, in which no two different expressions are likely to agree.
_POINTS = tuple(
    sympy.Rational(above, below)
    for above, below in ((17, 10), (5, 3), (23, 7), (7, 6), (31, 8), (19, 9))
)
_SAYS_SIGNS = (sympy.Abs, sympy.sign, sympy.floor, sympy.ceiling, sympy.Piecewise, sympy.Mod)
_TRANSPOSED = re.compile(r"\^\s*\{?\s*(?:T|\*|\\top|\\prime)(?![a-zA-Z])")
_ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


@lru_cache(1024)
def expression(text: str) -> Any:
    r"""Parse a text in the notation of `spelled`; None if math-verify cannot.

    Decimals are taken as the exact numbers that they say, and i is the imaginary unit where it is
    no index.

    Example:
        >>> expression("0.25x"), expression("1-i"), expression("((") is None
        (x/4, 1 - I, True)
    """
    text = text.replace("°", "^{\\circ}")
    try:
        parsed = latex2sympy(
            normalize_latex(text, config=_NORMALIZATION),
            is_real=not should_treat_as_complex(text),
            convert_degrees=True,
            normalization_config=None,
            conversion_config=_CONVERSION,
        )
    except Exception:  # whatever a parser trips over, it has not read it
        return None
    if not isinstance(parsed, sympy.Basic):
        return parsed
    exact = {number: sympy.Rational(str(number)) for number in parsed.atoms(sympy.Float)}
    for symbol in parsed.free_symbols:
        if (
            symbol.name == "i"
            and _IMAGINARY.search(text)
            and (len(parsed.free_symbols) == 1 or not symbol.is_real)
        ):
            exact[symbol] = sympy.I
    try:
        return parsed.xreplace(exact) if exact else parsed
    except (TypeError, ValueError):
        return parsed


@lru_cache(1024)
def constant(text: str) -> Number | None:
    r"""Return the value of a text that is a constant, to 40 digits; None if it is none, or complex.

    Example:
        >>> constant(r"\frac{\sqrt{4}}{8}").value, constant("x") is None
        (Fraction(1, 4), True)
    """
    number = None if "'" in text else _evaluated(expression(text))
    if number is None or not number.is_real or not number.is_finite:
        return None
    exact = sympy.Rational(str(number)) if number.is_Float else number
    if not exact.is_Rational:
        exact = sympy.Rational(str(number.evalf(_DIGITS)))
    return Number(Fraction(int(exact.p), int(exact.q)))


@lru_cache(1024)
def same_expression(gold: str, answer: str) -> bool:
    r"""Return whether two texts are the same constant, expression or relation.

    Example:
        >>> same_expression(r"\frac{1}{500!}", r"\frac{1}{501!}")
        False
        >>> same_expression("(x+1)^{2}", "x^{2}+2x+1"), same_expression("2^{-60}x", "2^{-61}x")
        (True, False)
        >>> same_expression(r"\sqrt{\frac{a}{b}}", r"\frac{\sqrt{a}}{\sqrt{b}}")
        True
        >>> same_expression("|x|", "x")
        False
    """
    if ("°" in gold) != ("°" in answer) and _ANGLED.search(gold) and _ANGLED.search(answer):
        # A unit that one of them has left out, as in sin 30.
        gold, answer = gold.replace("°", ""), answer.replace("°", "")
    first, second = expression(gold), expression(answer)
    if first is None or second is None or _marks(gold) != _marks(answer):
        return False
    if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
        return not _is_settled(first) and not _is_settled(second) and _judged(first, second)
    symbols = first.free_symbols | second.free_symbols
    if not symbols:
        return _same_evaluated(first, second) is True
    if first.free_symbols != second.free_symbols:
        lone = isinstance(first, sympy.Symbol) or isinstance(second, sympy.Symbol)
        return lone and _judged(first, second)
    agreed = 0
    for turn in range(3):
        points = {
            s: _POINTS[(place + turn) % len(_POINTS)] + place // len(_POINTS)
            for place, s in enumerate(sorted(symbols, key=str))
        }
        same = _same_evaluated(first.subs(points), second.subs(points))
        if same is False:
            return False
        agreed += same is True
    if _judged(first, second):
        return True
    if agreed < _ENOUGH:
        return False
    # Equal wherever the symbols are positive, which is what data sets mean by their letters.
    return not any(sympy.simplify(side).has(*_SAYS_SIGNS) for side in (first, second))


def _marks(text: str) -> tuple[int, ...]:
    """Count what the parser passes over: primes, transposes, products of vectors."""
    times = text.count("\\times") if "\\vec" in text else 0
    capitals = len(re.findall(r"\\[A-Z][a-z]+", text))
    return text.count("'"), len(_TRANSPOSED.findall(text)), times, capitals


def _is_settled(relation: Any) -> bool:
    """Return whether a relation has no unknowns, so that math-verify takes it for any other."""
    return isinstance(relation, Relational) and not relation.free_symbols


def _judged(gold: Any, answer: Any) -> bool:
    return bool(verify([gold], [answer], allow_set_relation_comp=True, timeout_seconds=None))


def _same_evaluated(gold: Any, answer: Any) -> bool | None:
    """Compare values; None where one of them has none."""
    first, second = _evaluated(gold), _evaluated(answer)
    if first is None or second is None:
        return None
    if first.is_Rational and second.is_Rational:
        return bool(first == second)
    if not (first.is_finite and second.is_finite):
        return bool(first == second)
    a, b = first.evalf(_DIGITS), second.evalf(_DIGITS)
    size = max(abs(a), abs(b))
    if abs(a - b) <= _CLOSE * size:
        more = abs(gold.evalf(3 * _DIGITS) - answer.evalf(3 * _DIGITS))
        return bool(more <= _CLOSE**3 * size)
    # A value that cancels to nothing may not be seen to be zero.
    return bool(size < _CLOSE and sympy.simplify(gold - answer) == 0)


def _evaluated(parsed: Any) -> Any:
    """Evaluate an expression without symbols; None if it is no such thing."""
    if not isinstance(parsed, sympy.Expr) or parsed.free_symbols:
        return None
    try:
        done = parsed.doit()
        if done.has(sympy.nan, sympy.zoo):
            return None
        if done.is_Rational or done.is_infinite:
            return done
        number = done.evalf(_DIGITS)
    except (ArithmeticError, TypeError, ValueError, AttributeError):
        return None
    return number if number.is_number and number.is_finite else None
