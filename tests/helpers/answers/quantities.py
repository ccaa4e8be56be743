"""Quantities, and near misses: units, currencies, percents, times, numbers in other bases."""

from fractions import Fraction
from random import Random

from helpers.answers.drawing import Answer, Drawn, Shape, drawn, grouped, other_digit

#: Ways to write a unit behind a number, and another unit for it. "" is the number alone.
UNITS: dict[str, tuple[tuple[str, ...], str]] = {
    "km": ((" km", r" \text{ km}", r"\ \mathrm{km}", " kilometers"), "m"),
    "m": ((" m", r" \text{ m}", r"\,\text{m}", " meters"), "cm"),
    "cm": ((" cm", r"\text{ cm}", r"\,\mathrm{cm}", " centimeters"), "mm"),
    "mm": ((" mm", r"\text{ mm}"), "cm"),
    "m/s": ((" m/s", r" \text{ m/s}", r"\ \mathrm{m/s}"), "km/h"),
    "km/h": ((" km/h", r"\text{ km/h}"), "m/s"),
    "kg": ((" kg", r"\text{ kg}", r"\ \mathrm{kg}", " kilograms"), "g"),
    "g": ((" g", r"\text{ g}", " grams"), "kg"),
    "hours": ((" hours", r"\text{ hours}", r" \text{ hrs}"), "minutes"),
    "minutes": ((" minutes", r" \text{ minutes}"), "hours"),
    "cm^2": ((" cm^2", r"\text{ cm}^2", r"\ \mathrm{cm}^{2}", " cm²"), "cm^3"),
    "cm^3": ((" cm^3", r"\text{ cm}^3", r"\,\mathrm{cm}^3", " cm³"), "cm^2"),
    "m^2": ((" m^2", r"\text{ m}^2", " m²", r" \text{ square meters}"), "m"),
    "degrees": ((r"^\circ", "°", r"^{\circ}", " degrees", r"\text{ degrees}"), "radians"),
    "radians": ((" radians", r"\text{ radians}"), "degrees"),
}
CURRENCIES: dict[str, tuple[tuple[str, ...], str]] = {
    "$": ((r"\${}", "${}", "{} dollars", r"{}\text{ dollars}"), "€"),
    "€": (("€{}", "{} €", "{} euros", r"{}\text{ euros}"), "$"),
    "£": (("£{}", "{} pounds", r"\text{£}{}"), "€"),
    "cents": (("{} cents", r"{}\text{ cents}"), "$"),
}


def quantity(rng: Random) -> Drawn:
    """A number with a unit; the unit may be left out, but not be another one."""
    unit = rng.choice(sorted(UNITS))
    number = Fraction(rng.randrange(2, 500), rng.choice([1, 1, 2, 4, 5]))

    def made(number: Fraction, unit: str, bare: bool = True) -> Answer:
        text = str(float(number)) if number.denominator > 1 else str(number)
        forms = [text + written for written in UNITS[unit][0]]
        return Answer((number, unit), (*forms, text) if bare else tuple(forms))

    digit = Fraction(other_digit(number.numerator, rng), number.denominator)
    answer = made(number, unit)
    units = drawn(
        made(number, unit, bare=False), ("unit", made(number, UNITS[unit][1], bare=False))
    )
    numbers = (("digit", made(digit, unit)), ("sign", made(-number, unit)))
    # Where the unit differs, both must have one: a bare number has the other's.
    return (
        units
        if rng.random() < 0.5
        else drawn(answer, *numbers, ("exponent", made(number * 10, unit)))
    )


def money(rng: Random) -> Drawn:
    """An amount in a currency; the sign may be left out, but not be another one."""
    currency = rng.choice(sorted(CURRENCIES))
    amount = Fraction(rng.randrange(2, 9000))
    if currency != "cents" and rng.random() < 0.4:
        amount = Fraction(rng.randrange(1000, 99999), 100)

    def made(amount: Fraction, currency: str, bare: bool = True) -> Answer:
        text = str(amount) if amount.denominator == 1 else f"{float(amount):.2f}"
        texts = [text] + (
            [grouped(text, ",")] if amount >= 1000 and amount.denominator == 1 else []
        )
        forms = [pattern.replace("{}", t, 1) for t in texts for pattern in CURRENCIES[currency][0]]
        return Answer((amount, currency), (*forms, text) if bare else tuple(forms))

    wrong = Fraction(other_digit(amount.numerator * (100 // amount.denominator), rng), 100)
    if amount.denominator == 1:
        wrong = Fraction(other_digit(int(amount), rng))
    units = drawn(
        made(amount, currency, bare=False),
        ("unit", made(amount, CURRENCIES[currency][1], bare=False)),
        ("unit", made(amount, "£" if currency != "£" else "cents", bare=False)),
    )
    numbers = drawn(
        made(amount, currency),
        ("digit", made(wrong, currency)),
        ("exponent", made(amount * 10, currency)),
    )
    return units if rng.random() < 0.5 else numbers


def percent(rng: Random) -> Drawn:
    """A percentage: 45% is 0.45 and may be written as 45."""
    tenths = rng.randrange(11, 999)

    def made(tenths: int) -> Answer:
        number = Fraction(tenths, 10)
        text = str(number) if number.denominator == 1 else str(float(number))
        forms = (
            rf"{text}\%",
            f"{text}%",
            rf"{text} \%",
            text,
            f"{text} percent",
            rf"{text}\text{{ percent}}",
        )
        return Answer(number, forms)

    # A hundred times as much could be the same, said without the sign: these are not.
    other = other_digit(tenths, rng)
    return drawn(
        made(tenths),
        ("digit", made(other)),
        ("exponent", made(tenths * 10)),
        ("digit", made(tenths + rng.choice([-1, 1]))),
    )


def time_of_day(rng: Random) -> Drawn:
    """Hours and minutes, before or after noon."""
    minutes = rng.randrange(24 * 60)

    def made(minutes: int) -> Answer:
        hour, minute = divmod(minutes % (24 * 60), 60)
        half, twelve = "ap"[hour >= 12], hour % 12 or 12
        clock = f"{twelve}:{minute:02d}"
        forms = [rf"{clock} \text{{ {half}.m.}}", f"{clock} {half}.m.", f"{clock} {half.upper()}M"]
        forms += [f"{hour}:{minute:02d}"] if hour > 12 else []
        forms += [
            rf"{clock}\text{{ {half}m}}",
            rf"\text{{{clock} {half.upper()}M}}",
            f"{clock}{half}m",
        ]
        return Answer((hour, minute), tuple(forms))

    hour, minute = divmod(minutes, 60)
    return drawn(
        made(minutes),
        ("digit", made(hour * 60 + (minute + rng.choice([1, 5, 10, 30])) % 60)),
        ("digit", made(minutes + rng.choice([-60, 60]))),
        ("unit", made(minutes + 12 * 60)),
    )


def in_base(rng: Random) -> Drawn:
    """A number in a base that is not ten."""
    base = rng.choice([2, 3, 4, 5, 6, 7, 8, 9])
    digits = str(rng.randrange(1, base)) + "".join(
        str(rng.randrange(base)) for _ in range(rng.randrange(2, 6))
    )

    def made(digits: str, base: int) -> Answer:
        forms = (f"{digits}_{{{base}}}", f"({digits})_{{{base}}}")
        if base < 10:
            forms = (f"{digits}_{base}", *forms, f"({digits})_{base}")
        return Answer(int(digits, base), forms)

    place = rng.randrange(1, len(digits))
    changed = digits[:place] + str((int(digits[place]) + 1) % base) + digits[place + 1 :]
    return drawn(
        made(digits, base),
        ("digit", made(changed, base)),
        ("base", made(digits, base + 1)),
        ("exponent", made(digits + "0", base)),
    )


QUANTITIES: dict[str, Shape] = {
    "quantity": quantity,
    "money": money,
    "percent": percent,
    "time of day": time_of_day,
    "in base": in_base,
}
