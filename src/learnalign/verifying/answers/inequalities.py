r"""Parsing inequalities and unions of intervals as subsets of the real line."""

import re

from learnalign.verifying.answers.brackets import matched, split
from learnalign.verifying.answers.scalars import scalar
from learnalign.verifying.answers.values import Interval, Region, Scalar

_RELATION = re.compile(r"\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|<|>")
_VARIABLE = re.compile(
    r"(?:[A-Za-z]|\\(?:theta|alpha|beta|lambda|mu|phi|omega))(?:_\{?\w\}?)?(?:\([a-z]\))?"
)
_UNION = re.compile(r"\s*(?:\\cup(?![a-zA-Z])|\bU\b)\s*")
_EITHER = re.compile(r"\s*(?:\\lor(?![a-zA-Z])|,?\s*\bor\b)\s*")
_ALL_OF = re.compile(r"\s*(?:\\land|,?\s*\band\b|,)\s*")
_LEAST, _MOST = Scalar("-\\infty"), Scalar("\\infty")
_ALL_REAL = ("\\mathbb{r}", "all real numbers", "all reals", "the real numbers")
#: Set-builder notation, {x | x > 2}.
_SET_BUILDER = re.compile(r"\\?\{\s*[a-zA-Z](?:\s*\\in\s*\\mathbb\{R\})?\s*[|:]\s*(.*?)\s*\\?\}")
_INFINITE = ("\\infty", "-\\infty", "- \\infty")


def region(plain: str) -> Region | None:
    r"""Parse a union of intervals, or inequalities in one variable; None for a single interval.

    Pairs joined by "or" are intervals only if one of them cannot be a point.

    Example:
        >>> str(region(r"(-\infty, 3] \cup [5, \infty)"))
        '(-\\infty, 3] u [5, \\infty)'
        >>> str(region("x < 1 or x > 2")), region("(1, 2) or (3, 4)")
        ('(-\\infty, 1) u (2, \\infty)', None)
    """
    if plain.lower() in _ALL_REAL:
        return Region((Interval(_LEAST, _MOST, False, False),))
    if match := _SET_BUILDER.fullmatch(plain):
        return region(match[1].strip())
    united, either = split(plain, _UNION), split(plain, _EITHER)
    alternatives = united if len(united) > 1 else either
    are_intervals = len(united) > 1 or any("infty" in one or one[:1] == "[" for one in either)
    pieces: list[Region] = []
    for alternative in alternatives:
        piece = _interval(alternative) if are_intervals and len(alternatives) > 1 else None
        piece = piece or _conditions(alternative)
        if piece is None:
            return None
        pieces.append(piece)
    return _union(pieces)


def _conditions(plain: str) -> Region | None:
    """Parse a conjunction of inequalities; if they exclude each other, a comma means "or"."""
    parsed = [_inequality(part) for part in split(plain, _ALL_OF)]
    pieces = [piece for piece in parsed if piece is not None]
    if len(pieces) != len(parsed) or len({piece.name for piece in pieces}) > 1:
        return None
    if len(pieces) == 1:
        return pieces[0]
    holes = [piece for piece in pieces if len(piece.intervals) > 1]
    if holes:
        rest = [piece for piece in pieces if piece not in holes]
        return _with_hole(rest[0], holes[0]) if (len(rest), len(holes)) == (1, 1) else None
    intervals = [piece.intervals[0] for piece in pieces]
    lows = [(one.low, one.has_low) for one in intervals if one.low.text not in _INFINITE]
    highs = [(one.high, one.has_high) for one in intervals if one.high.text not in _INFINITE]
    if len(lows) != 1 or len(highs) != 1:
        return None
    (low, has_low), (high, has_high) = lows[0], highs[0]
    if low.number and high.number and low.number.value > high.number.value:
        return None if re.search(r"\band\b|\\land", plain) else _union(pieces)
    return Region((Interval(low, high, has_low, has_high),), pieces[0].name)


def _with_hole(piece: Region, holed: Region) -> Region | None:
    """Remove a point from an interval: x > 0 and x != 1."""
    whole, point = piece.intervals[0], holed.intervals[0].high
    low, high = whole.low.number, whole.high.number
    inside = point.number is not None and (
        (low is None or low.value < point.number.value)
        and (high is None or point.number.value < high.value)
    )
    if not inside:
        return None
    below = Interval(whole.low, point, whole.has_low, False)
    return Region((below, Interval(point, whole.high, False, whole.has_high)), piece.name)


def _inequality(plain: str) -> Region | None:
    signs = [match.group(0) for match in _RELATION.finditer(plain)]
    sides = [side.strip() for side in _RELATION.split(plain)]
    if len(signs) == 0 and "\\ne" in plain:
        name, _, other = plain.partition("\\ne")
        point = scalar(other)
        if not _VARIABLE.fullmatch(name.strip()) or point is None:
            return None
        halves = Interval(_LEAST, point, False, False), Interval(point, _MOST, False, False)
        return Region(halves, name.strip())
    if len(signs) == 1:
        left, right = sides
        if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
            left, right, signs = right, left, [_reversed(signs[0])]
        bound = scalar(right)
        if not _VARIABLE.fullmatch(left) or bound is None or _mentions(right, left):
            return None
        closed = signs[0].startswith("\\")
        if signs[0] in ("<", "\\le"):
            return Region((Interval(_LEAST, bound, False, closed),), left)
        return Region((Interval(bound, _MOST, closed, False),), left)
    if len(signs) == 2 and _VARIABLE.fullmatch(sides[1]):
        if all(sign in (">", "\\ge") for sign in signs):
            sides, signs = sides[::-1], [_reversed(sign) for sign in reversed(signs)]
        if not all(sign in ("<", "\\le") for sign in signs):
            return None
        low, high = scalar(sides[0]), scalar(sides[2])
        if low is None or high is None or _mentions(sides[0] + " " + sides[2], sides[1]):
            return None
        flags = (sign.startswith("\\") for sign in signs)
        return Region((Interval(low, high, *flags),), sides[1])
    return None


def _mentions(text: str, name: str) -> bool:
    """Return whether a text contains a variable, outside LaTeX command names."""
    plain = text if name.startswith("\\") else re.sub(r"\\[a-zA-Z]+", " ", text)
    return name in plain


def _reversed(sign: str) -> str:
    return {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}[sign]


def _interval(plain: str) -> Region | None:
    """Parse ``[a, b)`` or a set of points as a region."""
    body = plain.strip().replace("\\{", "{").replace("\\}", "}")
    if not matched(body):
        return None
    parts = split(body[1:-1], re.compile(r"[,;]"))
    ends = [scalar(part) for part in parts]
    known = [end for end in ends if end is not None]
    if len(known) != len(ends):
        return None
    if body[0] == "{":
        return Region(tuple(Interval(end, end, True, True) for end in known))
    if len(known) != 2:
        return None
    return Region((Interval(known[0], known[1], body[0] == "[", body[-1] == "]"),))


def _union(pieces: list[Region]) -> Region | None:
    names = {piece.name for piece in pieces} - {None}
    if len(names) > 1:
        return None
    return Region(tuple(i for piece in pieces for i in piece.intervals), next(iter(names), None))
