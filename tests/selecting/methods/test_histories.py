"""LIMR and the history's variance against paper, plain loops and what must hold of any history."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from learnalign.errors import LearnAlignError
from learnalign.selecting.methods.histories import history_variance, limr

NAN = math.nan
RATES = st.one_of(st.integers(0, 8).map(lambda k: k / 8), st.just(NAN))
HISTORIES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=RATES)


def slow_limr(history):
    means = []
    for epoch in range(len(history[0])):
        known = [row[epoch] for row in history if not math.isnan(row[epoch])]
        means.append(sum(known) / len(known) if known else NAN)
    scores = []
    for row in history:
        epochs = [e for e in range(len(row)) if not math.isnan(row[e])]
        gap = sum((row[e] - means[e]) ** 2 for e in epochs)
        largest = sum((1 - means[e]) ** 2 for e in epochs)
        if not epochs:
            scores.append(-math.inf)
        elif largest == 0:
            scores.append(1.0)
        else:
            scores.append(1 - gap / largest)
    return scores


def slow_variance(history):
    scores = []
    for row in history:
        known = [rate for rate in row if not math.isnan(rate)]
        if not known:
            scores.append(-math.inf)
            continue
        mean = sum(known) / len(known)
        scores.append(sum((rate - mean) ** 2 for rate in known) / len(known))
    return scores


def test_limr_by_hand():
    # Means 1/2 and 3/4, so the sum below the line is 1/4 + 1/16 = 5/16.
    # Row 0: (1/2)^2 + (1/4)^2 = 5/16. Row 1 is always right: 5/16. Row 2: 0 + 0. Row 3: 0 + 1/4.
    history = [[0.0, 1.0], [1.0, 1.0], [0.5, 0.75], [0.5, 0.25]]
    assert limr(history) == pytest.approx([0.0, 0.0, 1.0, 0.2])


def test_limr_with_gaps_by_hand():
    # Means: (0 + 1/2) / 2 = 1/4 and (1/2 + 1) / 2 = 3/4.
    # Row 0: 1 - (1/16 + 1/16) / (9/16 + 1/16) = 4/5. Row 1, first epoch: 1 - (1/16) / (9/16) = 8/9.
    # Row 2, second epoch: 1 - (1/16) / (1/16) = 0. Row 3 was never read.
    history = [[0.0, 0.5], [0.5, NAN], [NAN, 1.0], [NAN, NAN]]
    assert limr(history) == pytest.approx([4 / 5, 8 / 9, 0.0, -math.inf])


def test_limr_of_a_solved_pool_is_one():
    assert limr([[1.0, 1.0], [1.0, NAN]]).tolist() == [1.0, 1.0]


def test_limr_where_a_problem_was_read_only_when_all_were_right():
    # Means 1/2 and 1: the last row counts the second epoch alone, where nothing can be missed.
    assert limr([[0.0, 1.0], [1.0, 1.0], [NAN, 1.0]])[2] == 1.0


def test_variance_by_hand():
    # 0, 1/2, 1 about 1/2: (1/4 + 0 + 1/4) / 3 = 1/6, not the sample variance 1/4.
    history = [[0.0, 0.5, 1.0], [0.0, NAN, 1.0], [0.5, NAN, NAN], [NAN, NAN, NAN]]
    assert history_variance(history) == pytest.approx([1 / 6, 1 / 4, 0.0, -math.inf])


@given(HISTORIES)
def test_limr_is_the_plain_loop(history):
    np.testing.assert_allclose(limr(history), slow_limr(history.tolist()), atol=1e-9)


@given(HISTORIES)
def test_variance_is_the_plain_loop(history):
    np.testing.assert_allclose(
        history_variance(history), slow_variance(history.tolist()), atol=1e-12
    )


@given(HISTORIES)
def test_variance_ranks_as_the_standard_deviation(history):
    read = ~np.isnan(history).all(axis=1)
    found = history_variance(history)[read]
    np.testing.assert_allclose(np.sqrt(found), np.nanstd(history[read], axis=1), atol=1e-12)


@given(HISTORIES, st.randoms())
def test_order_of_problems_and_epochs_does_not_matter(history, random):
    rows, columns = list(range(history.shape[0])), list(range(history.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    for rule in (limr, history_variance):
        mixed = rule(history[rows][:, columns])
        np.testing.assert_allclose(mixed, rule(history)[rows], atol=1e-9)


@given(HISTORIES)
def test_bounds(history):
    for rule, highest in ((limr, 1.0), (history_variance, 0.25)):
        values = rule(history)
        assert (values <= highest).all()
        assert (np.isneginf(values) == np.isnan(history).all(axis=1)).all()


@given(HISTORIES)
def test_a_column_nobody_was_read_in_changes_nothing(history):
    wider = np.hstack([history, np.full((len(history), 1), NAN)])
    for rule in (limr, history_variance):
        np.testing.assert_allclose(rule(wider), rule(history), atol=1e-12)


@given(HISTORIES)
def test_an_always_right_problem_has_limr_zero_unless_all_are(history):
    pool = np.vstack([np.ones(history.shape[1]), history])
    expected = 1.0 if np.nanmin(pool) == 1.0 else 0.0
    assert limr(pool)[0] == pytest.approx(expected, abs=1e-9)


def test_the_input_is_left_as_it_was():
    history = np.array([[0.0, NAN], [1.0, 0.5]])
    before = history.copy()
    limr(history), history_variance(history)
    np.testing.assert_array_equal(history, before)


def test_empty_pools_and_empty_histories():
    for rule in (limr, history_variance):
        assert rule(np.empty((0, 3))).shape == (0,)
        assert np.isneginf(rule(np.empty((2, 0)))).all()


@pytest.mark.parametrize("rule", [limr, history_variance])
def test_what_is_no_history(rule):
    with pytest.raises(LearnAlignError, match=r"of shape \(2,\)"):
        rule([0.5, 0.5])
    with pytest.raises(LearnAlignError, match=r"rate 1\.5 in row 1"):
        rule([[0.0, NAN], [NAN, 1.5]])
    with pytest.raises(LearnAlignError, match="rate inf"):
        rule([[math.inf]])
