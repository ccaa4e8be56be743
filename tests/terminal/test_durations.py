"""Durations: near the truth in every range, never sixty of a unit."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.terminal.durations import duration, rate

SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def parsed(told: str) -> list[tuple[float, str]]:
    return [(float(n.replace(",", "")), u) for n, u in re.findall(r"([\d.,]+) (s|min|h|d)", told)]


@given(st.floats(0.0, 1e9))
def test_it_is_the_time_to_within_half_of_its_smallest_step(seconds: float) -> None:
    told = duration(seconds)
    assert re.fullmatch(r"[\d.,]+ (s|min|h|d)( [\d,]+ (s|min|h))?", told)
    parts = parsed(told)
    close = 0.05 if seconds < 9.95 else 0.5 if seconds < 600 else 30 if seconds < 86_400 else 1800
    assert abs(sum(n * SECONDS[u] for n, u in parts) - seconds) <= close + 1e-6
    # The second unit is below one of the first, and each says something.
    for (_, larger), (count, unit) in pairwise(parts):
        assert 0 < count * SECONDS[unit] < SECONDS[larger]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (59.96, "60 s"),
        (119.6, "2 min"),
        (599.7, "10 min"),
        (3599.9, "1 h"),
        (86_399, "1 d"),
        (95.0 * 60, "1 h 35 min"),
        (30 * 3600, "1 d 6 h"),
        (-3.0, "0.0 s"),
        (float("nan"), "—"),
    ],
)
def test_edges(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@given(st.integers(1, 10**6), st.floats(0.01, 1e8))
def test_a_rate_is_the_quotient_in_a_unit_that_shows_it(count: int, seconds: float) -> None:
    number, unit = rate(count, seconds).split("/")
    told = float(number.replace(",", ""))
    if told >= 1.0:
        assert told / SECONDS[unit] == pytest.approx(count / seconds, rel=0.06)
    else:  # nothing is so slow that a larger unit would be better, but by the day
        assert unit == "d" or told > 0.9
