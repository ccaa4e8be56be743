"""Recognise text that can be evaluated without running code: literals and plain formulas."""

import ast
import re
import unicodedata

#: Functions that a formula may call.
_FUNCTIONS = frozenset(
    (
        *("sqrt", "cbrt", "root", "exp", "log", "ln", "abs", "Abs", "sign", "floor", "ceiling"),
        *("factorial", "Rational", "Integer", "Float"),
        *("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh"),
        *("asin", "acos", "atan", "asec", "acsc", "acot", "asinh", "acosh", "atanh"),
    )
)
#: Strings, line continuations, private names, attributes; and calls of what is not a name.
_BEYOND_FORMULAS = re.compile(r"""['"`\\]|__|\.\s*[^\W\d]|\blambda\b|[)\]}]\s*\(""")
_CALL = re.compile(r"([^\W\d]\w*)\s*\(")
#: Words before a bracket that are no calls.
_OPERATORS = frozenset({"and", "or", "not", "in", "is", "if", "else"})


def is_plain_value(text: str) -> bool:
    """Return whether ``eval`` and SymPy's ``parse_expr`` can only compute a value from a text.

    That holds for Python literals, and for formulas without strings, attributes and calls other
    than mathematical functions. Text that Python cannot parse (``a b c``) passes if it has none
    of these either.

    Example:
        >>> is_plain_value("['a', 'b.c()']"), is_plain_value("2*x**2 + sin(x)/3 + C")
        (True, True)
        >>> is_plain_value("__import__('os').system('ls')"), is_plain_value("exit(1)")
        (False, False)
    """
    text = unicodedata.normalize("NFKC", text)  # as Python does with names
    try:
        ast.literal_eval(text.strip())
        return True
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if _BEYOND_FORMULAS.search(text):
        return False
    return all(name in _FUNCTIONS | _OPERATORS for name in _CALL.findall(text))
