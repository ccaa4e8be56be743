"""Units and currencies by all their names, including metric prefixes."""

PERCENT, DEGREE = "%", "°"
#: Names of each unit, by its canonical spelling; an underscore stands for a space.
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
    "ft": "ft foot feet",
    "in": "in inch inches",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams gm 克",
    "t": "ton tons tonne tonnes 吨",
    "lb": "lb lbs",
    "pound": "pound pounds",
    "oz": "oz ounce ounces",
    "L": "l L liter liters litre litres 升",
    "gal": "gal gallon gallons",
    "qt": "qt quart quarts",
    "pt": "pint pints",
    "s": "s sec secs second seconds 秒",
    "min": "min mins minute minutes 分钟",
    "h": "h hr hrs hour hours 小时",
    "day": "day days 天 日",
    "week": "week weeks wk wks 周",
    "month": "month months mo 月",
    "year": "year years yr yrs 年",
    "Hz": "hz hertz",
    "N": "newton newtons",
    "J": "joule joules",
    "cal": "cal calorie calories",
    "W": "watt watts",
    "V": "volt volts",
    "A": "ampere amperes amp amps",
    "ohm": "ohm ohms Ω",
    "C": "coulomb coulombs",
    "Pa": "pa pascal pascals",
    "atm": "atm",
    "K": "kelvin kelvins",
    "°C": "°c celsius degrees_celsius",
    "°F": "°f fahrenheit degrees_fahrenheit",
    "mol": "mol mole moles",
    "M": "molar",
    "eV": "ev",
    "erg": "erg ergs",
    "mi/h": "mph",
    "km/h": "kmh kph kmph",
    "F": "farad farads",
    "T": "tesla teslas",
    "B": "byte bytes",
    "bit": "bit bits",
    "pc": "parsec parsecs",
    "AU": "au AU",
    "ly": "ly light-year light-years",
    "rpm": "rpm",
    "dB": "db dB decibel decibels",
    "angstrom": "Å angstrom angstroms",
    "acre": "acre acres",
    "ha": "ha hectare hectares 公顷",
}
#: Metric prefixes: letters before unit symbols, words before unit names.
_PREFIXES = {
    "k": "kilo",
    "M": "mega",
    "G": "giga",
    "T": "tera",
    "c": "centi",
    "d": "deci",
    "m": "milli",
    "μ": "micro",
    "n": "nano",
    "p": "pico",
    "h": "hecto",
}
_METRIC = {
    "m": "meter metre",
    "g": "gram",
    "s": "second",
    "L": "liter litre",
    "Hz": "hertz",
    "N": "newton",
    "J": "joule",
    "W": "watt",
    "V": "volt",
    "A": "ampere amp",
    "C": "coulomb",
    "F": "farad",
    "T": "tesla",
    "Pa": "pascal",
    "mol": "mole",
    "eV": "electronvolt",
    "Ω": "ohm",
    "B": "byte",
    "cal": "calorie",
    "pc": "parsec",
}
_CHINESE = {
    "km": "千米 公里",
    "cm": "厘米",
    "mm": "毫米",
    "dm": "分米",
    "kg": "千克 公斤",
    "mL": "毫升",
}


def _known() -> dict[str, str]:
    """Return the canonical spelling of every name; exact case wins over ignored case."""
    known = {
        word.replace("_", " "): unit for unit, words in _NAMES.items() for word in words.split()
    }
    for letter, words in _METRIC.items():
        known.setdefault(letter, letter)
        known |= {name: letter for word in words.split() for name in (word, f"{word}s")}
        for prefix, long in _PREFIXES.items():
            unit = f"{prefix}{letter}"
            known.setdefault(unit, unit)
            known |= {f"{long}{word}{end}": unit for word in words.split() for end in ("", "s")}
    known |= {word: unit for unit, words in _CHINESE.items() for word in words.split()}
    known |= {"kgs": "kg", "kilo": "kg", "kilos": "kg", "kms": "km", "cms": "cm", "um": "μm"}
    known |= {"micron": "μm", "microns": "μm", "cc": "cm^3", "ohm": "Ω", "ohms": "Ω", "ml": "mL"}
    known |= {"percentage points": PERCENT, "degrees celsius": "°C", "degrees fahrenheit": "°F"}
    known |= {"pound sterling": "£", "pounds sterling": "£", "° c": "°C", "° f": "°F"}
    # km, KM and Km are the same; MHz and mHz are not.
    for name, unit in list(known.items()):
        known.setdefault(name.lower(), unit)
    return known


KNOWN = _known()
