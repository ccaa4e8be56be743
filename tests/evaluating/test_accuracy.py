"""Intervals and comparisons, held against statistics done by hand and by scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from learnalign.errors import LearnAlignError
from learnalign.evaluating.accuracy import accuracy, difference
from learnalign.evaluating.benchmarks import PRESETS, benchmark_named

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=40)


@given(SCORES)
def test_interval_holds_the_mean_and_stays_in_range(scores):
    found = accuracy(scores)
    assert found.mean == pytest.approx(np.mean(scores))
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = {"greedy": 0, "sampled": 0}
    for _ in range(400):
        rates = rng.beta(2, 3, size=80)
        greedy = accuracy((rng.random(80) < rates).astype(float))
        sampled = accuracy(rng.binomial(8, rates) / 8)
        held["greedy"] += greedy.low <= 0.4 <= greedy.high
        held["sampled"] += sampled.low <= 0.4 <= sampled.high
    assert all(0.92 <= count / 400 <= 0.98 for count in held.values()), held


def test_mcnemar_is_the_binomial_test_of_the_discordant():
    one = [1] * 30 + [0] * 20 + [1] * 12 + [0] * 3
    other = [1] * 30 + [0] * 20 + [0] * 12 + [1] * 3
    found = difference(one, other)
    assert (found.better, found.worse) == (12, 3)
    # By hand: twice the upper tail of Binomial(15, 1/2) at 12.
    by_hand = 2 * sum(stats.binom.pmf(k, 15, 0.5) for k in range(12, 16))
    assert found.p_value == pytest.approx(by_hand)
    assert found.mean == pytest.approx(9 / 65)
    assert found.low < 9 / 65 < found.high


def test_no_difference_is_none():
    found = difference([0.5, 1.0, 0.0], [0.5, 1.0, 0.0])
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_sign_flips_agree_with_all_of_them():
    one, other = [0.5, 0.75, 1.0, 0.25, 0.5], [0.25, 0.25, 0.5, 0.5, 0.25]
    gaps = np.array(one) - other
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    exact = np.mean(np.abs((signs * gaps).mean(1)) >= abs(gaps.mean()) - 1e-12)
    assert difference(one, other).p_value == pytest.approx(exact, abs=0.02)


@given(SCORES, st.integers(0, 3))
def test_difference_is_antisymmetric(scores, seed):
    others = scores[::-1]
    one, other = difference(scores, others, seed=seed), difference(others, scores, seed=seed)
    assert one.mean == pytest.approx(-other.mean)
    assert (one.better, one.worse) == (other.worse, other.better)
    assert one.low == pytest.approx(-other.high, abs=0.05)


def test_benchmarks_by_name():
    assert benchmark_named("gsm8k=copy.jsonl").source == "copy.jsonl"
    assert benchmark_named("gsm8k=copy.jsonl").verifier == "math"
    assert benchmark_named("owner/name:subset").name == "name"
    assert {b.name for b in PRESETS.values()} == set(PRESETS)
    with pytest.raises(LearnAlignError, match="the nearest is 'gsm8k'"):
        benchmark_named("gsm8")
    with pytest.raises(LearnAlignError, match="no problem"):
        accuracy([])
