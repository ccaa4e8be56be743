"""Numbers: read exactly in every way of writing, and compared relatively."""

from decimal import Context, Decimal
from fractions import Fraction
from math import gcd

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from learnalign.verifying.answers.notation import spelled
from learnalign.verifying.answers.numbers import Number, read_number, same_number

WHOLE = st.integers(-(10**15), 10**15)


def grouped(number: int, mark: str) -> str:
    return f"{number:,}".replace(",", mark)


@given(WHOLE, st.sampled_from(["", ",", " ", "'", "{,}", "\\,", "\\ ", "\u2009", ",\\!", "~"]))
def test_whole_numbers_with_any_mark_between_thousands(number: int, mark: str) -> None:
    assert read_number(spelled(grouped(number, mark))) == Number(Fraction(number))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_decimals_are_exact(number: Decimal) -> None:
    text = f"{number:f}"
    assume(len(text) < 1000)
    found = read_number(text)
    assert found is not None
    assert found.value == Fraction(number)


@given(st.integers(1, 10**6), st.integers(-300, 300), st.sampled_from(["e", "E", "x", "t", "d"]))
def test_scientific_notation(mantissa: int, exponent: int, form: str) -> None:
    written = {
        "e": f"{mantissa}e{exponent}",
        "E": f"{mantissa}E{exponent:+}",
        "x": f"{mantissa} x 10^{exponent}",
        "t": rf"{mantissa} \times 10^{{{exponent}}}",
        "d": rf"{mantissa} \cdot 10^{{{exponent}}}",
    }[form]
    found = read_number(spelled(written))
    assert found is not None
    assert found.value == mantissa * Fraction(10) ** exponent


@given(st.integers(1, 999), st.integers(1, 999), st.integers(1, 999))
def test_mixed_numbers_and_fractions(whole: int, above: int, below: int) -> None:
    fraction = Fraction(above, below)
    for text in (rf"\frac{{{above}}}{{{below}}}", f"{above}/{below}", f"{above} / {below}"):
        assert read_number(text) == Number(fraction)
    for text in (rf"{whole}\frac{{{above}}}{{{below}}}", f"{whole} {above}/{below}"):
        assert read_number(text) == Number(whole + fraction)


@pytest.mark.parametrize(
    "text",
    ["", "-", "1,2", "1,23,4", "12,34", "1 23", "x", "3/0", "1..2", "--1", "1e", "1,000,00", "10%"],
)
def test_what_is_no_single_number(text: str) -> None:
    assert read_number(text) is None


@given(st.integers(1, 10**12), st.integers(-400, 400), st.integers(1, 9))
def test_another_digit_is_another_number_at_any_size(value: int, power: int, more: int) -> None:
    """The comparison is relative: how large the numbers are makes no difference."""
    gold = read_number(f"{value}e{power}")
    other = read_number(f"{value + more}e{power}")
    assert gold is not None
    assert other is not None
    assert same_number(gold, gold)
    assert not same_number(gold, other)


@example(892, 373, 14)  # ...15281501, whose float is below the half
@given(st.integers(1, 997), st.integers(2, 997), st.integers(6, 14))
def test_a_decimal_stands_for_what_it_rounds(above: int, below: int, digits: int) -> None:
    exact = Fraction(above, below)
    assume(exact.denominator > 1 and gcd(exact.denominator, 10) == 1)  # no digit is the last
    # Rounded once: a float's division has rounded the number before.
    text = f"{Context(prec=digits).divide(above, below).normalize():f}"
    written = read_number(text)
    assert written is not None
    assume(written.digits is not None and written.digits >= 6)
    assert same_number(Number(exact), written)
    # A unit of the last digit more, and it is another number.
    step = Fraction(1, 10 ** len(text.partition(".")[2]))
    assert not same_number(Number(exact), Number(written.value + step, written.digits))
