"""LearnAlign as a curriculum: its prior, its forgetting, its draws, against plain computations."""

import json
from collections import Counter
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from learnalign.curriculum.learnalign import LearnAlign
from learnalign.curriculum.pool_prior import PoolPrior
from learnalign.curriculum.posterior import BetaPosterior
from learnalign.errors import LearnAlignError


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.3, 1.2), (2.0, 1.0)])
def test_the_prior_finds_the_distribution_that_groups_come_from(a: float, b: float) -> None:
    rng = np.random.default_rng(0)
    prior = PoolPrior()
    for _ in range(40):
        rates = rng.beta(a, b, 500)
        prior.observe(rng.binomial(8, rates).astype(float), np.full(500, 8.0))
    assert prior.values() == pytest.approx((a, b), rel=0.12)


def test_the_prior_by_hand() -> None:
    """16 uniform groups, and two groups with 4 and 1 successes of 4."""
    prior = PoolPrior()
    prior.observe(np.array([4.0, 1.0]), np.array([4.0, 4.0]))
    mean = (16 / 2 + 1.0 + 0.25) / 18
    second = (16 / 3 + 4 * 3 / 12 + 1 * 0 / 12) / 18
    size = mean * (1 - mean) / (second - mean**2) - 1
    assert prior.values() == pytest.approx((mean * size, (1 - mean) * size))


def test_the_prior_follows_the_pool() -> None:
    prior = PoolPrior()
    for rate in (0.1, 0.9):
        for _ in range(20):
            prior.observe(np.full(500, 8 * rate), np.full(500, 8.0))
    a, b = prior.values()
    assert a / (a + b) > 0.85


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30))
def test_the_prior_is_always_a_distribution(groups: list[tuple[int, int]]) -> None:
    prior = PoolPrior()
    for successes, failures in groups:
        total = np.array([float(successes + failures)])
        prior.observe(np.array([float(successes)]), total)
        a, b = prior.values()
        assert 0 < a < 9
        assert 0 < b < 9


def test_log_likelihood_is_the_beta_binomials() -> None:
    posterior = BetaPosterior(1, prior=(0.7, 2.5))
    for s in range(9):
        found = posterior.log_likelihood(np.array([0]), np.array([float(s)]), np.array([8.0]))[0]
        expected = stats.betabinom.pmf(s, 8, 0.7, 2.5)
        assert comb(8, s) * np.exp(found) == pytest.approx(expected)


def test_a_new_prior_moves_what_was_never_seen() -> None:
    curriculum = LearnAlign(100, num_rollouts=8)
    for start in range(0, 90, 10):
        curriculum.next_batch(10)
        curriculum.observe(np.arange(start, start + 10), np.zeros(10), 8)
    rates = curriculum.estimates()
    assert (rates[90:] == rates[90]).all()
    assert rates[90] < 0.2  # 90 problems of 90 were never solved
    assert (rates[:90] < rates[90]).all()
    uniform = LearnAlign(100, fitted_prior=False)
    assert uniform.estimates()[0] == 0.5


def test_forgetting_follows_the_drift() -> None:
    """Log odds that walk between visits are best predicted by forgetting, constant ones by not."""
    rng = np.random.default_rng(0)
    found = []
    for drift in (0.0, 0.5, 1.5):
        curriculum, odds = LearnAlign(50, seed=1), rng.normal(0, 1, 50)
        for _ in range(200):
            batch = curriculum.next_batch(20)
            curriculum.observe(batch, rng.binomial(8, 1 / (1 + np.exp(-odds[batch]))), 8)
            odds[batch] = 0.9 * odds[batch] + drift * rng.normal(size=20) if drift else odds[batch]
        found.append(curriculum.metrics()["discount"])
    assert found[0] > 0.95 > 0.8 > found[1] > found[2]


def test_what_comes_up_is_taken_with_its_chance() -> None:
    """Over many passes: the chance of a signal by hand, over the gate, at least the floor."""
    curriculum = LearnAlign(4, gate=0.8, floor=0.31, discounts=(1.0,), fitted_prior=False)
    curriculum.next_batch(4)
    successes = (0, 1, 4, 8)
    for _ in range(3):
        curriculum.observe(np.arange(4), np.array(successes), 8)
    by_hand = []
    for s in successes:
        a, b = 1 + 3 * s, 1 + 3 * (8 - s)
        signal = 1 - stats.betabinom.pmf(0, 8, a, b) - stats.betabinom.pmf(8, 8, a, b)
        by_hand.append(max(min(signal / 0.8, 1.0), 0.31))
    assert by_hand[0] == by_hand[3] == 0.31  # the floor
    assert 0.31 < by_hand[1] < by_hand[2] == 1.0
    assert curriculum.keep_chances() == pytest.approx(by_hand)
    draws = Counter(int(curriculum.next_batch(1)[0]) for _ in range(4000))
    passes = curriculum.metrics()["passes"]
    for place in range(4):
        expected = passes * by_hand[place]
        assert abs(draws[place] - expected) < 4 * np.sqrt(passes) * 0.5


def test_noise_is_skipped() -> None:
    """A problem whose gradients scatter is taken less often, whatever its rewards."""
    curriculum, rng = LearnAlign(40, seed=3), np.random.default_rng(0)
    curriculum.next_batch(40)
    directions = np.eye(40, 64)
    for _ in range(8):
        curriculum.observe(np.arange(40), np.full(40, 4.0), 8)
        sketches = rng.normal(size=(40, 64))
        sketches[:30] += 9 * directions[:30]
        curriculum.observe_gradients(np.arange(40), sketches)
    chances = curriculum.keep_chances()
    assert chances[:30].min() > 0.8
    assert chances[30:].max() < 0.2
    assert chances.min() >= 0.05


def test_groups_without_a_signal_are_dropped_unless_they_cannot_be_refilled() -> None:
    wins = [0, 4, 8]
    assert LearnAlign(3).observe([0, 1, 2], wins, 8).tolist() == [False, True, False]
    assert LearnAlign(3, refill=False).observe([0, 1, 2], wins, 8).tolist() == [True] * 3


def test_passes_keep_the_pools_mixture() -> None:
    """Problems that are always worth training on are taken equally often."""
    curriculum = LearnAlign(30, seed=2)
    for _ in range(60):
        batch = curriculum.next_batch(7)
        curriculum.observe(batch, np.full(len(batch), 4.0), 8)
    assert np.ptp(curriculum.times_observed) <= 1


def test_a_problem_that_is_never_observed_does_not_take_the_floor_for_ever() -> None:
    """Some trainers discard rollouts that are too old: their problems are chosen as others are."""
    curriculum = LearnAlign(200, seed=1)
    lost, times = np.arange(5), np.zeros(200)
    for _ in range(300):
        batch = curriculum.next_batch(16)
        times[batch] += 1
        seen = batch[~np.isin(batch, lost)]
        curriculum.observe(seen, np.full(len(seen), 4), 8)
    assert times[lost].max() < 3 * np.median(times)


def test_known_counts_leave_the_prior_as_the_groups_would() -> None:
    """With features, what is left around the model is narrow, whether known or observed."""
    rng = np.random.default_rng(0)
    features = np.repeat(np.eye(2), 1000, axis=0)
    right = rng.binomial(8, np.repeat([0.2, 0.8], 1000))
    counts = np.stack([right, 8 - right], axis=1)
    known = LearnAlign(2000, features=features, counts=counts)
    assert sum(known.prior.values(np.array([0.5]))) > 4  # around the pool's mean: about 2
    assert sum(known.prior.values()) < 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("floor", 2),
        ("floor", "5%"),
        ("gate", 0),
        ("gate", 1.5),
        ("floor", 0),
        ("refill", "no"),
        ("discounts", 1.0),
        ("discounts", []),
        ("discounts", [0.5, 0.0]),
        ("num_rollouts", 1),
        ("num_rollouts", "8"),
        ("gradients", "false"),
        ("fitted_prior", 0),
    ],
)
def test_wrong_options_are_refused(option: str, value: Any) -> None:
    with pytest.raises(LearnAlignError, match=f"got {option} = "):
        LearnAlign(10, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("features", None),
        ("features", 2 * np.eye(10)[::-1]),
        ("num_rollouts", 4),
        ("discounts", [1.0]),
        ("gradients", False),
        ("refill", False),
        ("gate", 1.0),
    ],
)
def test_a_state_of_other_options_is_refused(option: str, value: Any) -> None:
    state = LearnAlign(10, features=np.eye(10)).state_dict()
    other = LearnAlign(10, **({"features": np.eye(10)} | {option: value}))
    with pytest.raises(LearnAlignError, match=f"a curriculum's state with {option}"):
        other.load_state_dict(state)


def test_a_selections_counts_are_the_prior() -> None:
    counts = np.array([[8, 0], [4, 4], [0, 8]])
    curriculum = LearnAlign(3, counts=counts)
    low, middle, high = curriculum.estimates()[[2, 1, 0]]
    assert low < 0.2 < middle < 0.8 < high
    assert curriculum.signal_chances().argmax() == 1
    assert curriculum.metrics()["coverage"] == 0.0  # nothing was sampled yet


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(0, 6), st.integers(0, 99))
def test_state_is_plain_and_exact(num_problems: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    curriculum = LearnAlign(num_problems, seed=seed)
    for _ in range(steps):
        batch = curriculum.next_batch(5)
        curriculum.observe(batch, rng.integers(0, 9, len(batch)), 8)
    other = LearnAlign(num_problems, seed=seed)
    other.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert other.estimates().tolist() == curriculum.estimates().tolist()
    for _ in range(3):
        batch = curriculum.next_batch(4)
        assert other.next_batch(4).tolist() == batch.tolist()
        for one in (curriculum, other):
            one.observe(batch, np.full(len(batch), 3.0), 8)
    assert other.metrics() == curriculum.metrics()
