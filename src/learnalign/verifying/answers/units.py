r"""Units and currencies after (or before) an answer, in words or as symbols.

Units are compared if both the gold and the answer have one; a noun that is not a unit (9 apples) is
ignored. Units are not converted: 100 cm does not match 1 m.
"""

import re
from functools import cache

from learnalign.verifying.answers.notation import WORDING, without_wording
from learnalign.verifying.answers.numbers import MAGNITUDES
from learnalign.verifying.answers.unit_names import DEGREE, KNOWN

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SIGNS = r"%$€£¥₹¢°"
_POWER = r"(?:\s*\^\s*\{?\s*(-?\d)\s*\}?)?"
_WORD = rf"(?:[^\W\d_]+\.?|°\s?[CF](?![A-Za-z])|[{_SIGNS}])"
_CHINESE_POWERS = {"平方": 2, "立方": 3}
_SCALE = rf"(?:(?:{'|'.join(MAGNITUDES)})s?)"
_BEHIND = re.compile(
    rf"(?P<head>.*?(?:[\d)}}\]|!]|{_SCALE}))\s*(?!{_SCALE})(?P<unit>(?:\(\s*)?(?:{_WORD}{_POWER}[\s/·*.-]*(?:\\cdot\s*)?)+\)?)\s*"
)
_WORDED = re.compile(rf"(?P<head>.+?)\s*{WORDING}\s*\{{(?P<unit>[^{{}}]*)\}}{_POWER}\s*")
_FRACTION = re.compile(rf"\\frac\{{{WORDING}\{{(\w+)\}}(\^\d)?\}}\{{{WORDING}\{{(\w+)\}}(\^\d)?\}}")
_BEFORE = re.compile(r"(?P<sign>-?)\s*(?P<unit>(?:US|HK|CA|A)?[$€£¥₹])\s*(?P<head>[-+.\d].*)")
#: Letters that are units rather than variables after a number and a space.
_LETTERS = "msghlLNJWVK"
#: Words that change the value: neither units nor counted things.
_MORE = [
    "tenths",
    "hundredths",
    "thousandths",
    "halves",
    "thirds",
    "quarters",
    "fifths",
    "squared",
    "cubed",
    "factorial",
]
_NO_NOUN = re.compile(
    r"[\d,;](?<!\^\d)|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|more|less|fewer|below)\b",
    re.IGNORECASE,
)
#: Words that give a quantity a direction.
_DIRECTIONS = [
    "profit",
    "loss",
    "gain",
    "increase",
    "decrease",
    "north",
    "south",
    "east",
    "west",
    "up",
    "down",
    "left",
    "right",
    "above",
    "below",
    "clockwise",
    "counterclockwise",
    "debt",
    "surplus",
    "deficit",
]
_NOT_UNITS = re.compile(
    r"\b(?:and|or|if|where|when|for|is|the|not|to|mod|choose|from|with|sin|cos|tan|cot|sec|csc"
    rf"|log|ln|exp|sqrt|pi|theta|alpha|beta|base|plus|minus|times|{'|'.join(_MORE)})\b",
    re.IGNORECASE,
)


def without_unit(text: str) -> tuple[str, str | None]:
    r"""Split an answer and its unit.

    Args:
        text: Text in the notation of `learnalign.verifying.answers.notation.spelled`, with its
            words still marked (``\text{...}``).

    Returns:
        The answer without unit or noun, and the unit's canonical spelling; None without a unit.

    Example:
        >>> without_unit(r"13 \text{ km/h}"), without_unit("13 kilometers per hour")
        (('13', 'km/h'), ('13', 'km/h'))
        >>> without_unit("-$18"), without_unit("18 dollars"), without_unit("9 (apples)")
        (('-18', '$'), ('18', '$'), ('9', None))
        >>> without_unit("12平方厘米"), without_unit("50%"), without_unit("2x"), without_unit("5 k")
        (('12', 'cm^2'), ('50', '%'), ('2x', None), ('5 k', None))
    """
    text = _join_units(text.strip())
    match = _BEFORE.fullmatch(without_wording(text))
    if match:
        head, more = without_unit(match["head"])
        currency = KNOWN[match["unit"][-1]]
        if more is not None:
            return match["sign"] + head, f"{currency}{more}" if more[0] == " " else more
        return match["sign"] + head, currency
    match = _WORDED.fullmatch(text)
    if match and not _NOT_UNITS.search(match["unit"]) and not _NO_NOUN.search(match["unit"]):
        head, words = match["head"].rstrip(), match["unit"].strip()
        power = match.groups()[-1]
        words += f"^{power}" if power else ""
        if head.endswith("°"):
            words, head = f"°{words}", head[:-1]
        scale = re.match(rf"{_SCALE}(?![A-Za-z])", words)
        if scale:
            words, head = words[scale.end() :].strip(), f"{head} {scale.group(0)}"
        is_unit = re.search(rf"[A-Za-z{_SIGNS}{_CJK}Ωμ]", words) and words not in ("k", "M", "B")
        is_variable = re.fullmatch(r"[A-Za-z]", words) and unit_named(words) is None
        if not words or (is_unit and not is_variable and not _ends_open(head)):
            return _bare(head), unit_named(words) if words else None
    plain = without_wording(text)
    match = _BEHIND.fullmatch(plain)
    if match is None or _NOT_UNITS.search(match["unit"]) or _ends_open(match["head"]):
        return text, None
    words, head = match["unit"].strip(), match["head"]
    unit = unit_named(words)
    if unit is None and not _is_noun(words, plain[len(head) :]):
        return text, None
    if unit is not None and _may_be_variable(words, plain[len(head) :]):
        return text, None
    if unit == DEGREE and re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", head):
        return text, None
    return _bare(head), unit


def _join_units(text: str) -> str:
    r"""Join units that are split up in LaTeX: ``m\,s^{-2}``, ``\mu\text{m}``."""
    if "\\" not in text and "{" not in text:
        return text
    text = re.sub(r"\^\s?\{(-?\d)\}(?=[^{}]*\}|\s*$|\s*/)", r"^\1", text)
    text = _FRACTION.sub(r"\\text{\1\2/\3\4}", text)
    text = re.sub(r"\\(?:mu|upmu)\s*(?=\\text|\\mathrm)", "μ", text)
    text = re.sub(rf"μ{WORDING}\{{", r"\\text{μ", text)
    return re.sub(r"(?<=\d)\s*\\Omega(?![a-zA-Z])", r"\\text{Ω}", text)


def same_unit(one: str, other: str) -> bool:
    """Return whether two units are the same; a pound is a unit of weight or of money.

    A direction (north, profit) may be missing in one of them.

    Example:
        >>> same_unit("cm", "cm"), same_unit("pound", "£"), same_unit("cm", "m")
        (True, True, False)
    """
    if " to the " in one + other:
        (one, _, way), (other, _, back) = one.partition(" to the "), other.partition(" to the ")
        if way and back and way != back:
            return False
    return one == other or not one or not other or {one, other} in _POUNDS


_POUNDS = ({"pound", "£"}, {"pound", "lb"})


@cache
def unit_named(words: str) -> str | None:
    """Return the canonical spelling of a unit; None if it is not a unit.

    Example:
        >>> [unit_named(words) for words in ("meters per second", "m s^{-1}", "sq. ft", "apples")]
        ['m/s', 'm/s', 'ft^2', None]
    """
    words = re.sub(r"\\mu\s*|µ", "μ", words.replace("\\Omega", "Ω"))
    words = re.sub(r"\\cdot|[()·*]", " ", words.strip()).strip(" .")
    *rest, last = words.lower().split() or [""]
    if last in _DIRECTIONS:
        return f"{unit_named(' '.join(rest)) or ''} to the {last}"
    words = re.sub(r"\bper\b|(?<=[a-z])\s+a\s+(?=[a-z])", "/", words)
    powers: dict[str, int] = {}
    for index, part in enumerate(words.split("/")):
        if not _add(part, -1 if index else 1, powers):
            return None
    numerator = [_power(name, power) for name, power in sorted(powers.items()) if power > 0]
    denominator = [_power(name, -power) for name, power in sorted(powers.items()) if power < 0]
    if not numerator and not denominator:
        return None
    return " ".join(numerator) + "".join(f"/{name}" for name in denominator)


def _add(part: str, sign: int, powers: dict[str, int]) -> bool:
    """Add a product of units to ``powers``; return whether all of its words are units."""
    part = part.strip()
    part = part if part in KNOWN else part.lower() if part.lower() in KNOWN else part
    if part in KNOWN:
        return _count(KNOWN[part], sign, powers)
    raised = 1
    words = re.findall(rf"(°\s?[CFcf]|[A-Za-zµμΩÅ{_CJK}-]+|[{_SIGNS}])\.?{_POWER}", part)
    if not words:
        return False
    for word, power in words:
        lower = word.lower().replace(" ", "").replace("µ", "μ")
        if lower in ("square", "sq", "squared", "cubic", "cu", "cubed"):
            by = 2 if lower.startswith("sq") else 3
            if lower in ("squared", "cubed") and powers:
                last = next(reversed(powers))
                powers[last] *= by
            else:
                raised = by
            continue
        for name, by in _CHINESE_POWERS.items():
            if lower.startswith(name) and len(lower) > len(name):
                lower, raised = lower.removeprefix(name), by
        unit = KNOWN.get(word.replace("µ", "μ")) or KNOWN.get(lower)
        if unit is None:
            return False
        if "/" in unit:  # mph
            numerator, denominator = unit.split("/")
            _count(numerator, sign, powers)
            _count(denominator, -sign, powers)
        else:
            _count(unit, sign * raised * int(power or 1), powers)
        raised = 1
    return True


def _count(unit: str, power: int, powers: dict[str, int]) -> bool:
    powers[unit] = powers.get(unit, 0) + power
    return True


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"


def _is_noun(words: str, suffix: str) -> bool:
    """Return whether words after a number are a counted noun, not a variable or a function."""
    if re.fullmatch(rf"\s*[{_CJK}]+", suffix):
        return True
    inner = words.strip("() .")
    if _NO_NOUN.search(inner):
        return False
    return bool(re.fullmatch(r"[A-Za-z]{3,}(?:[\s-]+[A-Za-z]+){0,3}", inner)) and (
        suffix[:1].isspace() or suffix.startswith("(")
    )


def _may_be_variable(words: str, suffix: str) -> bool:
    """Return whether a letter after a number may be a variable, as in 12m and 5 k."""
    if not re.fullmatch(r"[A-Za-z](?:\^.*)?", words):
        return False
    return not (suffix[:1].isspace() and words[0] in _LETTERS)


def _ends_open(head: str) -> bool:
    return head.rstrip().endswith(
        ("+", "-", "*", "/", "=", "^", "_", ",", ";", r"\cdot", r"\times")
    )


def _bare(head: str) -> str:
    return head.strip().removesuffix("\\").strip()
