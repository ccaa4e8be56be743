r"""Units and currencies behind (or before) an answer: the same in words and in signs.

They are compared where both the gold and the answer have one; a noun that is no unit (9 apples) is
not compared. Nothing is converted: 100 cm is not the answer where 1 m is asked for.
"""

import re
from functools import cache

from learnalign.verifying.answers.notation import WORDING, without_wording

PERCENT, DEGREE = "%", "°"
_NAMES: dict[str, str] = {
    PERCENT: "% percent percents percentage pct percentage_points",
    DEGREE: "° degree degrees deg degs",
    "rad": "rad rads radian radians",
    "$": "$ dollar dollars usd us$ bucks",
    "cent": "¢ cent cents penny pennies",
    "€": "€ eur euro euros",
    "£": "£ gbp",
    "¥": "¥ jpy yen cny rmb yuan 元 円 块",
    "₹": "₹ inr rupee rupees rs",
    "m": "m meter meters metre metres 米",
    "km": "km kilometer kilometers kilometre kilometres kms 千米 公里",
    "cm": "cm centimeter centimeters centimetre centimetres 厘米",
    "mm": "mm millimeter millimeters millimetre millimetres 毫米",
    "dm": "dm decimeter decimeters 分米",
    "nm": "nm nanometer nanometers",
    "um": "um μm micrometer micrometers micron microns",
    "ft": "ft foot feet",
    "in": "in inch inches",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams gm 克",
    "kg": "kg kilogram kilograms kilo kilos kgs 千克 公斤",
    "mg": "mg milligram milligrams",
    "t": "ton tons tonne tonnes 吨",
    "lb": "lb lbs",
    "pound": "pound pounds",
    "oz": "oz ounce ounces",
    "l": "l liter liters litre litres 升",
    "ml": "ml milliliter milliliters 毫升",
    "gal": "gal gallon gallons",
    "qt": "qt quart quarts",
    "pt": "pint pints",
    "s": "s sec secs second seconds 秒",
    "ms": "ms millisecond milliseconds",
    "min": "min mins minute minutes 分钟",
    "h": "h hr hrs hour hours 小时",
    "day": "d day days 天 日",
    "week": "week weeks wk wks 周",
    "month": "month months mo 月",
    "year": "year years yr yrs 年",
    "Hz": "hz hertz",
    "kHz": "khz kilohertz",
    "N": "n newton newtons",
    "J": "j joule joules",
    "kJ": "kj kilojoule kilojoules",
    "cal": "cal calorie calories",
    "kcal": "kcal",
    "W": "w watt watts",
    "kW": "kw kilowatt kilowatts",
    "V": "v volt volts",
    "A": "ampere amperes amp amps",
    "ohm": "ohm ohms Ω",
    "C": "c coulomb coulombs",
    "Pa": "pa pascal pascals",
    "kPa": "kpa kilopascal kilopascals",
    "atm": "atm",
    "K": "k kelvin",
    "°C": "°c celsius degrees_celsius",
    "°F": "°f fahrenheit degrees_fahrenheit",
    "mol": "mol mole moles",
    "M": "molar",
    "eV": "ev",
    "erg": "erg ergs",
    "mi/h": "mph",
    "km/h": "kmh kph kmph",
    "acre": "acre acres",
    "ha": "ha hectare hectares 公顷",
}
_KNOWN = {word.replace("_", " "): unit for unit, words in _NAMES.items() for word in words.split()}
_KNOWN |= {"percentage points": PERCENT, "degrees celsius": "°C", "degrees fahrenheit": "°F"}
_KNOWN |= {"pound sterling": "£", "pounds sterling": "£", "° c": "°C", "° f": "°F"}
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SIGNS = r"%$€£¥₹¢°"
_POWER = r"(?:\s*\^\s*\{?\s*(-?\d)\s*\}?)?"
_WORD = rf"(?:[A-Za-zµμΩ{_CJK}]+\.?|°\s?[CF](?![A-Za-z])|[{_SIGNS}])"
_CHINESE_POWERS = {"平方": 2, "立方": 3}
_SCALE = r"(?:hundred|thousand|million|billion|trillion|万|亿)"
_BEHIND = re.compile(
    rf"(?P<head>.*?(?:[\d)}}\]|!]|{_SCALE}))\s*(?!{_SCALE})(?P<unit>(?:\(\s*)?(?:{_WORD}{_POWER}[\s/·*.-]*(?:\\cdot\s*)?)+\)?)\s*"
)
_WORDED = re.compile(rf"(?P<head>.+?)\s*{WORDING}\s*\{{(?P<unit>[^{{}}]*)\}}{_POWER}\s*")
_BEFORE = re.compile(r"(?P<sign>-?)\s*(?P<unit>(?:US|HK|CA|A)?[$€£¥₹])\s*(?P<head>[-+.\d].*)")
#: Letters that behind a number and a space are units rather than variables.
_LETTERS = "msghlLNJWVK"
_NOT_UNITS = re.compile(
    r"\b(?:and|or|if|where|when|for|is|the|not|to|mod|choose|from|with|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|theta|alpha|beta|base)\b",
    re.I,
)


def without_unit(text: str) -> tuple[str, str | None]:
    r"""Take a unit off an answer.

    Args:
        text: In the notation of `learnalign.verifying.answers.notation.spelled`, with its words
            still marked (``\text{...}``).

    Returns:
        The answer, and its unit in one spelling; None where there is none, or a noun that is none.

    Example:
        >>> without_unit(r"13 \text{ km/h}"), without_unit("13 kilometers per hour")
        (('13', 'km/h'), ('13', 'km/h'))
        >>> without_unit("-$18"), without_unit("18 dollars"), without_unit("9 (apples)")
        (('-18', '$'), ('18', '$'), ('9', None))
        >>> without_unit("12平方厘米"), without_unit("50%"), without_unit("2x"), without_unit("5 k")
        (('12', 'cm^2'), ('50', '%'), ('2x', None), ('5 k', None))
    """
    text = text.strip()
    found = _BEFORE.fullmatch(without_wording(text))
    if found:
        head, more = without_unit(found["head"])
        return found["sign"] + head, _KNOWN[found["unit"][-1]] if more != PERCENT else more
    found = _WORDED.fullmatch(text)
    if found and not _NOT_UNITS.search(found["unit"]) and found["unit"].strip():
        power, head = found.groups()[-1], found["head"].rstrip()
        words = found["unit"].strip() + (f"^{power}" if power else "")
        if head.endswith("°"):
            words, head = f"°{words}", head[:-1]
        is_unit = re.search(rf"[A-Za-z{_SIGNS}{_CJK}]", words) and not re.fullmatch(_SCALE, words)
        if is_unit and not _ends_open(head):
            return _bare(head), unit_named(words)
    plain = without_wording(text)
    found = _BEHIND.fullmatch(plain)
    if found is None or _NOT_UNITS.search(found["unit"]) or _ends_open(found["head"]):
        return text, None
    words, head = found["unit"].strip(), found["head"]
    unit = unit_named(words)
    if unit is None and not _is_noun(words, plain[len(head) :]):
        return text, None
    if unit is not None and _may_be_variable(words, plain[len(head) :]):
        return text, None
    return _bare(head), unit


def same_unit(one: str, other: str) -> bool:
    """Whether two units are the same; a pound is one of weight or of money.

    Example:
        >>> same_unit("cm", "cm"), same_unit("pound", "£"), same_unit("cm", "m")
        (True, True, False)
    """
    return one == other or {one, other} in ({"pound", "£"}, {"pound", "lb"})


@cache
def unit_named(words: str) -> str | None:
    """Give the one spelling of a unit; None if it is none.

    Example:
        >>> [unit_named(words) for words in ("meters per second", "m s^{-1}", "sq. ft", "apples")]
        ['m/s', 'm/s', 'ft^2', None]
    """
    words = re.sub(r"\\cdot|[()·*]", " ", words.strip()).strip(" .")
    words = re.sub(r"\bper\b|(?<=[a-z])\s+a\s+(?=[a-z])", "/", words)
    powers: dict[str, int] = {}
    for place, part in enumerate(words.split("/")):
        if not _add(part, -1 if place else 1, powers):
            return None
    above = [_power(name, power) for name, power in sorted(powers.items()) if power > 0]
    below = [_power(name, -power) for name, power in sorted(powers.items()) if power < 0]
    if not above and not below:
        return None
    return " ".join(above) + "".join(f"/{name}" for name in below)


def _add(part: str, sign: int, powers: dict[str, int]) -> bool:
    """Count a product of units; whether each of its words is one."""
    part = part.strip().lower() if part.strip().lower() in _KNOWN else part.strip()
    if part in _KNOWN:
        return _count(_KNOWN[part], sign, powers)
    raised = 1
    words = re.findall(rf"(°\s?[CFcf]|[A-Za-zµμΩ{_CJK}]+|[{_SIGNS}])\.?{_POWER}", part)
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
        unit = _KNOWN.get(word) or _KNOWN.get(lower)
        if unit is None:
            return False
        if "/" in unit:
            above, below = unit.split("/")
            _count(above, sign, powers)
            _count(below, -sign, powers)
        else:
            _count(unit, sign * raised * int(power or 1), powers)
        raised = 1
    return True


def _count(unit: str, power: int, powers: dict[str, int]) -> bool:
    powers[unit] = powers.get(unit, 0) + power
    return True


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"


def _is_noun(words: str, behind: str) -> bool:
    """Whether words behind a number name what was counted: no variable, no function."""
    if re.fullmatch(rf"\s*[{_CJK}]+", behind):
        return True
    inner = words.strip("() .")
    return bool(re.fullmatch(r"[A-Za-z]{3,}(?:[\s-]+[A-Za-z]+){0,3}", inner)) and (
        behind[:1].isspace() or behind.startswith("(")
    )


def _may_be_variable(words: str, behind: str) -> bool:
    """Whether a letter behind a number may be a variable, as in 12m and 5 k."""
    if not re.fullmatch(r"[A-Za-z](?:\^.*)?", words):
        return False
    return not (behind[:1].isspace() and words[0] in _LETTERS)


def _ends_open(head: str) -> bool:
    return head.rstrip().endswith(
        ("+", "-", "*", "/", "=", "^", "_", ",", ";", r"\cdot", r"\times")
    )


def _bare(head: str) -> str:
    return head.strip().removesuffix("\\").strip()
