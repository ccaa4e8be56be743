"""The linear form against the double loop over pairs, and the algebra of the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from learnalign.errors import LearnAlignError
from learnalign.scoring.scores import learnability, reward_variance, scores

counts = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, n, elements=st.sampled_from([k / 8 for k in range(9)])),
        hnp.arrays(np.float64, (n, 5), elements=st.floats(-10, 10, width=32)),
    )
)


def double_loop(rates, features):
    n = len(rates)
    result = np.zeros(n)
    for i in range(n):
        for j in range(n):
            norms = np.linalg.norm(features[i]) * np.linalg.norm(features[j])
            if norms > 0:
                cosine = features[i] @ features[j] / norms
                result[i] += rates[i] * (1 - rates[i]) * rates[j] * (1 - rates[j]) * cosine / n
    return result


def away_from_zero(features):
    return np.where(np.abs(features) < 1e-3, 0.0, features)


@given(counts)
def test_linear_form_is_the_mean_over_pairs(case):
    rates, features = case[0], away_from_zero(case[1])
    np.testing.assert_allclose(
        scores(rates, features).score, double_loop(rates, features), atol=1e-12
    )


@given(counts, st.randoms(use_true_random=False))
def test_permutation(case, random):
    rates, features = case[0], away_from_zero(case[1])
    order = list(range(len(rates)))
    random.shuffle(order)
    np.testing.assert_allclose(
        scores(rates[order], features[order]).score,
        scores(rates, features).score[order],
        atol=1e-12,
    )


@given(counts, st.integers(-30, 30))
def test_scale_of_a_gradient_does_not_count(case, power):
    rates, features = case[0], away_from_zero(case[1])
    scaled = features * (10.0**power) ** (np.arange(len(rates)) % 2)[:, None]
    np.testing.assert_allclose(
        scores(rates, scaled).score, scores(rates, features).score, atol=1e-12
    )


@given(counts)
def test_without_learnability_everything_is_zero(case):
    rates, features = np.round(case[0]), case[1]
    result = scores(rates, features)
    assert not result.score.any()
    assert not result.alignment.any()


@given(counts)
def test_duplicates_score_alike(case):
    rates, features = case
    twice = scores(np.concatenate([rates, rates]), np.concatenate([features, features])).score
    np.testing.assert_allclose(twice[: len(rates)], twice[len(rates) :])
    np.testing.assert_allclose(twice[: len(rates)], scores(rates, features).score, atol=1e-12)


def test_target_aligns_to_its_problems_alone():
    result = scores([0.5, 0.5], [[1.0, 0.0], [1.0, 1.0]], target=[True, False])
    np.testing.assert_allclose(result.alignment, [0.25, 0.25 / np.sqrt(2)])


def test_unbiased_estimate_has_the_true_expectation():
    rng = np.random.default_rng(0)
    rates = rng.binomial(8, 0.3, size=200_000) / 8
    unbiased = learnability(rates, estimator="unbiased", num_rollouts=8)
    assert unbiased.mean() == pytest.approx(0.21, abs=1e-3)
    assert learnability(rates).mean() == pytest.approx(0.21 * 7 / 8, abs=1e-3)


def test_reward_variance_of_zeros_and_ones_is_learnability():
    rewards = np.array([1, 0, 0, 1, 0, 0, 0, 0.0])
    assert reward_variance([rewards.var()]) == pytest.approx(learnability([rewards.mean()]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [[1.0], [2.0]]), "shape"),
        (([1.5], [[1.0]]), "success rate 1.5"),
        (([float("nan")], [[1.0]]), "success rate nan"),
        (([0.5], [[float("inf")]]), "NaN or Inf"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(LearnAlignError, match=message):
        scores(*arguments)


def test_no_target():
    with pytest.raises(LearnAlignError, match="0 problems"):
        scores([0.5], [[1.0]], target=[False])
