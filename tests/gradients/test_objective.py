"""Advantages and weights against hand-computed groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.gradients.objective import advantages, rollout_weights


def test_advantages_by_hand():
    # mean 0.25, sample variance (0.75^2 + 3 * 0.25^2) / 3 = 0.25
    expected = np.array([0.75, -0.25, -0.25, -0.25]) / 0.5001
    np.testing.assert_allclose(advantages([1, 0, 0, 0]), expected)


@given(st.floats(-1e6, 1e6), st.integers(1, 9))
def test_equal_rewards_have_no_advantage(reward, count):
    assert not advantages([reward] * count).any()


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_advantages_sum_to_zero(rewards):
    assert abs(advantages(rewards, scale_rewards="none").sum()) < 1e-9


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("grpo", [0.5 / (2 * 2), -0.5 / (2 * 6)]),
        ("dr_grpo", [0.5 / (2 * 10), -0.5 / (2 * 10)]),
        ("dapo", [0.5 / 8, -0.5 / 8]),
    ],
)
def test_weights_by_hand(loss, expected):
    weights = rollout_weights([1, 0], [2, 6], loss=loss, scale_rewards="none", max_tokens=10)
    np.testing.assert_allclose(weights, expected)


def test_an_empty_response_weighs_nothing():
    weights = rollout_weights([1, 0, 0], [0, 3, 3], max_tokens=10)
    assert weights[0] == 0.0
    assert np.isfinite(weights).all()
