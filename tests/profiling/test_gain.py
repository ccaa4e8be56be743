"""The forecast against the map that it was fitted to, and its own algebra."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.profiling import gain as forecast
from learnalign.profiling.costs import Plan
from learnalign.profiling.gain import forecast_gain, gain
from learnalign.profiling.measures import Share

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

AT = ("steps", "costs")


def rows_of(name):
    lines = (BENCHMARKS / "results" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def paying():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield import_module("paying_forecast")


@pytest.fixture(scope="module")
def figures(paying):
    return paying.figures(rows_of("paying.jsonl"))


@pytest.mark.parametrize("over", ["pool", "random"])
def test_the_coefficients_are_those_of_the_map(figures, over):
    fitted = [figures[f"forecast over {over}: {name}"].value for name in "abcdef"]
    assert pytest.approx(fitted, abs=5e-5) == forecast.COEFFICIENTS[over]
    errors = [figures[f"forecast over {over} at equal {at}: error"].value for at in AT]
    assert pytest.approx(max(errors), abs=5e-4) == forecast.ERRORS[over]
    assert pytest.approx(figures["forecast: sampling"].value, abs=0.005) == forecast.SAMPLING


@pytest.mark.parametrize("over", ["pool", "random"])
@pytest.mark.parametrize("at", AT)
def test_the_sign_is_right_in_nine_of_ten_left_out_cells(figures, over, at):
    assert figures[f"forecast over {over} at equal {at}: sign right"].value >= 0.9
    assert figures[f"forecast over {over} at equal {at}: sign right where clear of 0"].value >= 0.95


@pytest.mark.parametrize("over", ["pool", "random"])
@given(st.floats(0.0, 1.0), st.floats(0.5, 50.0), st.floats(1.0, 100.0), st.floats(0.0, 0.3))
def test_the_interval_widens_with_that_of_the_share(over, share, passes, longer, width):
    assert np.isfinite(gain(share, passes, passes * longer, over=over))
    plan = Plan(pool=1000, chosen=100, passes=passes, num_rollouts=8, reused=0)
    narrow = getattr(forecast_gain(Share(0, 0, share), plan), f"over_{over}")
    low, high = max(0.0, share - width), min(1.0, share + width)
    wide = getattr(forecast_gain(Share(0, 0, share, low, high), plan), f"over_{over}")
    assert wide.low <= narrow.low <= narrow.mean == wide.mean <= narrow.high <= wide.high


def test_a_choice_that_costs_more_pays_less():
    share = Share(20, 200, 0.1)
    plan = Plan(pool=1600, chosen=160, passes=4, num_rollouts=8, reused=0)
    costly, cheap = forecast_gain(share, plan), forecast_gain(share, replace(plan, reused=1600))
    assert costly.over_pool.mean < cheap.over_pool.mean


def test_what_is_said_of_another_model_is_what_was_measured(paying):
    """The gain of a cell, seed by seed from the rows; the sign where a tenth has a signal."""
    rows = rows_of("paying.smollm2.jsonl")
    found = paying.of_another_model(rows)
    assert len(found) == 12
    cell = next(c for c in found if (c["pool"], c["passes"], c["over"]) == ("signal-10", 4, "pool"))
    read = {(r["rule"], r["seed"]): r["readings"][2]["accuracy"] for r in rows
            if r["pool"] == "signal-10"}  # fmt: skip
    gains = [read["signal", seed] - read["full", seed] for seed in range(3)]
    assert cell["gain"] == pytest.approx(sum(gains) / 3)
    half = 4.302653 * np.std(gains, ddof=1) / 3**0.5  # Student's t of two degrees of freedom
    assert cell["high"] - cell["gain"] == pytest.approx(half, rel=1e-4)
    assert all(c["forecast"] * c["gain"] > 0 for c in found if c["pool"] == "signal-10")
