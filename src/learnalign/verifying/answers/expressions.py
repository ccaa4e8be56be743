r"""Parsing and comparing expressions with math-verify, with a relative tolerance.

math-verify parses LaTeX (latex2sympy) and checks symbolic equality. It considers two numbers equal
if their difference rounds to zero, so that 1e-20 equals 1e-30. Here values are first compared
relatively, at high precision and at a few points; only expressions that agree there are passed on.
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
#: m and M are different symbols.
_CONVERSION = ConversionConfig(lowercase_symbols=False)
# Time limits are enforced by the worker.
logging.getLogger("math_verify").setLevel(logging.ERROR)
_DIGITS = 40
_CLOSE = sympy.Float("1e-25", _DIGITS)
#: Number of points at which expressions must agree to count as equal against math-verify.
_MIN_AGREEING = 2
#: Positive values for the symbols, at which different expressions are unlikely to agree.
_POINTS = tuple(
    sympy.Rational(numerator, denominator)
    for numerator, denominator in ((17, 10), (5, 3), (23, 7), (7, 6), (31, 8), (19, 9))
)
_SIGN_DEPENDENT = (sympy.Abs, sympy.sign, sympy.floor, sympy.ceiling, sympy.Piecewise, sympy.Mod)
_TRANSPOSED = re.compile(r"\^\s*\{?\s*(?:T|\*|\\top|\\prime)(?![a-zA-Z])")
_ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


@lru_cache(1024)
def expression(text: str) -> Any:
    r"""Parse a text in the notation of `spelled`; None if math-verify fails.

    Decimals are converted to exact numbers, and i is the imaginary unit unless it is an index.

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
    except Exception:  # the parser may raise anything
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
    r"""Return the value of a real constant to 40 digits; None for other text.

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
    r"""Return whether two texts are equal constants, expressions or relations.

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
        # One of them omits the degree sign, as in sin 30.
        gold, answer = gold.replace("°", ""), answer.replace("°", "")
    first, second = expression(gold), expression(answer)
    if first is None or second is None or _marks(gold) != _marks(answer):
        return False
    if not (isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr)):
        return not _is_constant(first) and not _is_constant(second) and _verified(first, second)
    symbols = first.free_symbols | second.free_symbols
    if not symbols:
        return _same_evaluated(first, second) is True
    if first.free_symbols != second.free_symbols:
        lone = isinstance(first, sympy.Symbol) or isinstance(second, sympy.Symbol)
        return lone and _verified(first, second)
    agreeing = 0
    for shift in range(3):
        points = {
            s: _POINTS[(i + shift) % len(_POINTS)] + i // len(_POINTS)
            for i, s in enumerate(sorted(symbols, key=str))
        }
        same = _same_evaluated(first.subs(points), second.subs(points))
        if same is False:
            return False
        agreeing += same is True
    if _verified(first, second):
        return True
    if agreeing < _MIN_AGREEING:
        return False
    # Equal for positive symbols, which is what variables usually are in data sets.
    return not any(sympy.simplify(side).has(*_SIGN_DEPENDENT) for side in (first, second))


def _marks(text: str) -> tuple[int, ...]:
    """Count notation that the parser ignores: primes, transposes, products of vectors."""
    times = text.count("\\times") if "\\vec" in text else 0
    capitals = len(re.findall(r"\\[A-Z][a-z]+", text))
    return text.count("'"), len(_TRANSPOSED.findall(text)), times, capitals


def _is_constant(relation: Any) -> bool:
    """Return whether a relation has no unknowns; math-verify considers all of those equal."""
    return isinstance(relation, Relational) and not relation.free_symbols


def _verified(gold: Any, answer: Any) -> bool:
    return bool(verify([gold], [answer], allow_set_relation_comp=True, timeout_seconds=None))


def _same_evaluated(gold: Any, answer: Any) -> bool | None:
    """Compare values; None if one of them cannot be evaluated."""
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
        difference = abs(gold.evalf(3 * _DIGITS) - answer.evalf(3 * _DIGITS))
        return bool(difference <= _CLOSE**3 * size)
    # A value that cancels to zero may not be recognized numerically.
    return bool(size < _CLOSE and sympy.simplify(gold - answer) == 0)


def _evaluated(parsed: Any) -> Any:
    """Evaluate an expression without symbols; None for anything else."""
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
