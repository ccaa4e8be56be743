r"""Parsing an answer in every plausible way.

``100,200`` is a number or a list of two numbers: an answer is correct if one of its readings equals
one of the gold's.
"""

import re
from functools import lru_cache

from learnalign.verifying.answers.bases import read_based
from learnalign.verifying.answers.brackets import matched, split, trimmed
from learnalign.verifying.answers.inequalities import region
from learnalign.verifying.answers.notation import WORDING, spelled, without_wording
from learnalign.verifying.answers.numbers import read_number, same_number
from learnalign.verifying.answers.scalars import counting_word, is_wording, scalar
from learnalign.verifying.answers.times import Clock, Date, read_time
from learnalign.verifying.answers.values import (
    COUNTED,
    Choice,
    Formula,
    Items,
    Named,
    Scalar,
    Value,
    Words,
)

EMPTY = Items((), "{}")
_NO_SOLUTION = re.compile(
    r"\\emptyset|\\\{\s*\\\}|\{\s*\}|(?:the )?(?:empty|null) set"
    r"|(?:there (?:is|are) )?no (?:(?:real|integer|such|valid|possible) )*"
    r"(?:solutions?|roots?|values?)(?: exists?)?"
    r"|无解|空集",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"^(?:\\(?:therefore|approx|sim|simeq|implies|Rightarrow)|=|≈|(?:about|approximately|exactly|roughly|just|only)\b)\s*",
    re.IGNORECASE,
)
_MEMBER = re.compile(r"^\(?[A-Za-z](?:\s*,\s*[A-Za-z])*\)?\s*\\in\s*(?=[\[({\\])")
_CHOICE = re.compile(r"\(?([A-J])\)?(?:(?<=\))\s*[.:]?|\s*[.):]|$)\s*(.*)", re.DOTALL)
_OTHER_LETTER = re.compile(r"\([A-J]\)|(?:^|\b(?:or|and)\s|[,;:/]\s*)\(?[A-J]\b(?!['’])")
#: The left side of a named value: x, a_1, f(2), (x, y), \frac{AB}{CD}, |AB|, Area; not a sum.
_NAME = re.compile(
    r"(?!.*\\(?:sqrt|log|ln))(?:_\{?[\w+,-]+\}?|[^\d+*^=<>_-])+"
    r"|\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\^\{-1\})?'*\s*\([^()]*\)"
)
_EQUALS = re.compile(r"(?<![<>!\\])=")
_LIST = re.compile(r"[,;]|\b(?:and|or)\b")
_OPERATIONS = re.compile(
    r"\\(?:frac|sqrt|times|cdot|pi|cdots|ldots|binom|log|ln|lg|sin|cos|tan)(?![a-zA-Z])"
)
_VARIABLE = re.compile(r"[A-Za-z](?:_\{?\w\}?)?")
_LETTERS = re.compile(r"(?:\\[a-zA-Z]+|[A-Za-z])")
#: Signs of text that is compared as a whole: an equation, an inequality, a matrix, a set of sets.
_RELATION = re.compile(r"[=<>]|\\(?:le|ge|ne|approx|in|cup|cap|setminus|begin)(?![a-zA-Z])")
_QUANTITY = re.compile(r"\d[\d.,]*\s*(?:[A-Za-z]+|°)")
_COMPOUND = re.compile(rf"{_QUANTITY.pattern}(?:\s*(?:,|and)?\s*{_QUANTITY.pattern})+")
_OR = re.compile(r"(?<![A-Za-z])or(?![A-Za-z])|\\lor(?![a-zA-Z])")
#: French notation for intervals: ]0, 1].
_FRENCH = re.compile(r"(?=\]|.*\[$)([\[\]])([^\[\]]*,[^\[\]]*)([\[\]])")
_CASES = re.compile(r"\\begin\{cases\}([^&]*)\\end\{cases\}")
_NEGATIVE = re.compile(r"(?:negative|minus)\s+(?=[\d\\$.])", re.IGNORECASE)
_NOUN = re.compile(r"\d[\d.,]*\s+([A-Za-z]{3,})")
_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[^{}]*\})?(.*?)\\end\{\1\}", re.DOTALL)


@lru_cache(4096)
def readings(text: str) -> tuple[Value, ...]:
    r"""Parse a text that is only an answer in every plausible way.

    Example:
        >>> [str(value) for value in readings("100,200")]
        ['100200', '100, 200']
        >>> str(readings(r"2 \le x < 5")[0]), str(readings("x=12")[0])
        ('[2, 5)', 'x = 12')
        >>> [str(value) for value in readings(r"13 \text{ km/h}")], str(readings("½")[0])
        (['13 km/h'], '1/2')
    """
    marked = trimmed(spelled(trimmed(text)))
    if french := _FRENCH.fullmatch(marked):
        marked = f"{'(' if french[1] == ']' else '['}{french[2]}{')' if french[3] == '[' else ']'}"
    while match := _ABOUT.match(marked):
        marked = trimmed(marked[match.end() :])
    plain = " ".join(without_wording(marked).split())
    if re.fullmatch(rf"{WORDING}\s*\{{[A-Za-z]{{3,}}\}}", marked):
        candidates = read_time(plain), counting_word(plain), Words(plain)
        return tuple(value for value in candidates if value is not None)
    if _NEGATIVE.match(plain):
        marked = plain = _NEGATIVE.sub("-", plain, count=1)
    if cases := _CASES.fullmatch(plain):
        marked = plain = trimmed(re.sub(r"\s*,?\s*\\\\\s*", ", ", cases[1]))
    if not plain:
        return ()
    if _NO_SOLUTION.fullmatch(plain.rstrip(". ")):
        return (EMPTY,)
    time = read_time(plain)
    if isinstance(time, Date) or (isinstance(time, Clock) and time.half is not None):
        return (time,)
    values: list[Value] = [] if time is None else [time]
    choice = _CHOICE.fullmatch(plain)
    if choice and not _OTHER_LETTER.search(choice[2]):
        values.append(Choice(choice[1], trimmed(choice[2]) or None))
    values += _mathematics(marked, plain)
    if is_wording(plain):
        values.append(Words(plain))
    return tuple(dict.fromkeys(values))


def _mathematics(marked: str, plain: str) -> list[Value]:
    """Parse numbers, collections and names; in ``marked``, words are still marked."""
    if member := _MEMBER.match(plain):
        plain = marked = plain[member.end() :]
    based = read_based(plain)
    if based is not None:
        return [based]
    if _contradict(split(plain, _EQUALS)):
        return [Words(plain)]
    is_relation = _RELATION.search(plain) is not None
    values = _shaped(plain) or ([] if is_relation else _quantities(marked, plain))
    values = values or _several(plain)
    if not is_relation:
        return values
    # A named value whose name is a sum is also an equation.
    is_equation = any(isinstance(one, Named) and re.search(r"[-+*^]", one.name) for one in values)
    return [*values, Formula(plain, bool(values) and not is_equation)]


def _quantities(marked: str, plain: str) -> list[Value]:
    """Parse one value or several, or both if a comma may group thousands."""
    compound = _compound(plain)
    if compound is not None:
        return [compound]
    one = scalar(marked)
    if one is not None and one.number is not None and ("," not in plain or one.unit is not None):
        return [one]
    several = _several(plain)
    if one is None or (several and one.number is None):
        return several
    return [one, *several]


def _compound(plain: str) -> Items | None:
    """Parse a quantity in several units, such as 3 ft 4 in, as a set of its parts."""
    match = _COMPOUND.fullmatch(plain)
    if match is None:
        return None
    parts = [scalar(part.group(0)) for part in _QUANTITY.finditer(plain)]
    known = [part for part in parts if part is not None and part.unit is not None]
    return Items(tuple(known), "{}") if len(known) == len(parts) else None


def _shaped(plain: str) -> list[Value]:
    """Parse inequalities and unions, matrices, and named values."""
    part = region(plain)
    if part is not None:
        return [part]
    matrix = _matrix(plain)
    if matrix is not None:
        return [matrix]
    return _named(plain) or _approximate(plain)


def _named(plain: str) -> list[Value]:
    parts = split(plain, _EQUALS)
    name, last = parts[0].strip(), parts[-1].strip()
    # A comma in the last number groups thousands and does not separate a list.
    whole = plain[: len(plain) - len(last)] if read_number(last) else plain
    if len(parts) < 2 or _contradict(parts) or len(split(whole, _LIST)) > 1:
        return []
    if not last:
        return []
    if _NAME.fullmatch(name) and re.search(r"[A-Za-z]", name):
        return [Named("".join(name.split()), value) for value in readings(last)]
    if read_number(last) is not None and len(set(re.findall(r"[A-Za-z]", name))) > 1:
        return [Named("".join(name.split()), value) for value in readings(last)]
    if _VARIABLE.fullmatch(last) and not _LETTERS.search(_OPERATIONS.sub("", name)):
        return [Named(last, value) for value in readings(name)]
    if not _LETTERS.search(_OPERATIONS.sub("", name)) and not _LETTERS.search(
        _OPERATIONS.sub("", last)
    ):
        return list(readings(last))
    return []


def _contradict(parts: list[str]) -> bool:
    """Return whether a chain of equations equates different numbers, or ends in an expression."""
    parsed = [read_number(part) for part in parts]
    numbers = [number for number in parsed if number is not None]
    if (
        len(parts) > 2
        and numbers
        and parsed[-1] is None
        and _LETTERS.search(_OPERATIONS.sub("", parts[-1]))
    ):
        return True
    return any(not same_number(numbers[0], other) for other in numbers[1:])


def _approximate(plain: str) -> list[Value]:
    """Parse an exact value with a decimal approximation; both are readings if they are close."""
    exact, sign, rounded = plain.partition("\\approx")
    if not sign or not exact.strip() or not rounded.strip():
        return []
    first, second = read_number(exact), read_number(rounded)
    if first and second and abs(first.value - second.value) > abs(first.value) / 50:
        return []
    return [*readings(exact), *readings(rounded)]


def _several(plain: str) -> list[Value]:
    """Parse a list, or the contents of brackets."""
    signs = re.findall(r"\\pm(?![a-zA-Z])", plain)
    if len(signs) == 1 and "," not in plain:
        both = [plain.replace("\\pm", sign).strip().removeprefix("+") for sign in "+-"]
        return [Items(items) for items in _each(both)]
    if plain.startswith(("\\langle", "\\{", "(", "[")):
        body = plain.replace("\\langle", "(").replace("\\rangle", ")")
        body = body.replace("\\{", "{").replace("\\}", "}")
        if matched(body):
            brackets = body[0] + body[-1]
            inner = body[1:-1]
            parts = _parts(inner)
            if brackets in ("{}", "[]", "[)", "(]") or any(len(part) > 1 for part in parts):
                return [Items(items, brackets) for part in parts for items in _each(part)]
            return []
    ratio = plain.split(":")
    if len(ratio) > 2:
        return [Items(items, "::") for items in _each(ratio)]
    lists = [items for part in _parts(plain) if len(part) > 1 for items in _each(part)]
    return [Items(items, "{}" if _are_alternatives(plain, items) else "") for items in lists]


def _are_alternatives(plain: str, items: tuple[Value, ...]) -> bool:
    """Return whether a list has alternative values, so that it is a set: x = 1 or x = 3."""
    names = {item.name if isinstance(item, Named) else None for item in items}
    return len(split(plain, _OR)) > 1 or (len(names) == 1 and None not in names)


def _parts(plain: str) -> list[list[str]]:
    """Split a list at all commas, and at only those that do not group thousands."""
    words = r"\s*,?\s*(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])\s*"
    everywhere = split(plain, re.compile(rf"{words}|\s*[,;]\s*"))
    spaced = split(plain, re.compile(rf"{words}|\s*;\s*|,\s+(?!0\d\d)|,(?!\d{{3}}(?!\d))|(?<!\d),"))
    if any(re.fullmatch(r"0\d\d", part) for part in everywhere):
        return [spaced]
    return [everywhere] if spaced == everywhere else [everywhere, spaced]


def _each(parts: list[str]) -> list[tuple[Value, ...]]:
    """Parse each part of a list in its first reading; empty if one cannot be parsed."""
    parts = [part for part in parts if part.strip()]
    values: list[Value] = []
    for part in parts:
        candidates = [
            candidate
            for candidate in readings(part)
            if not isinstance(candidate, Clock | Date | Choice)
        ]
        if not candidates:
            return []
        both = candidates[0]
        values += both.items if "\\pm" in part and isinstance(both, Items) else [both]
    return [_counted(parts, tuple(values))]


def _counted(parts: list[str], values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Name quantities by their nouns, if the nouns of a list are all different."""
    nouns = [_NOUN.fullmatch(part) for part in parts]
    names = [noun[1].lower() for noun in nouns if noun]
    plain = all(isinstance(value, Scalar) and value.unit is None for value in values)
    if len(names) != len(values) or len(set(names)) < len(names) or not plain:
        return values
    return tuple(Named(COUNTED + name, one) for name, one in zip(names, values, strict=True))


def _matrix(plain: str) -> Items | None:
    if plain[:1] in "([" and matched(plain) and plain[1:].lstrip().startswith("\\begin"):
        plain = plain[1:-1].strip()
    match = _MATRIX.fullmatch(plain)
    if match is None or match[1] in ("vmatrix", "Vmatrix"):
        return None
    rows = [row for row in re.split(r"\\\\|\\cr", match[2]) if row.replace("\\hline", "").strip()]
    table = [_each(row.replace("\\hline", "").split("&")) for row in rows]
    if not table or not all(table):
        return None
    cells = [row[0] for row in table]
    if len({len(row) for row in cells}) > 1:
        return None
    if len(cells) == 1 or len(cells[0]) == 1:  # a row or column vector
        return Items(tuple(cell for row in cells for cell in row), "matrix")
    return Items(tuple(Items(row, "matrix") for row in cells), "matrix")
