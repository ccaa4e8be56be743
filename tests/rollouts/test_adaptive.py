"""Who gets more rollouts: laws against scipy and enumeration, stated losses against real ones."""

import itertools
from fractions import Fraction
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from learnalign.rollouts.adaptive import (
    ALIGNMENT_NOISE,
    _alignments,
    beta_prior,
    plan_next_round,
    predictive,
    rounds,
)
from learnalign.selecting.order import random_keys, ranking

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


def decide(correct, tried=4, goes=None, **options):
    correct = np.asarray(correct)
    given = {"done": 4, "num_rollouts": 16, "count": 2, "error": 0.1} | options
    given.setdefault("ties", random_keys([str(i) for i in range(len(correct))], 0))
    going = np.ones(len(correct), bool) if goes is None else goes
    return plan_next_round(correct, np.broadcast_to(tried, correct.shape), going, **given)


@pytest.mark.parametrize("num_rollouts", range(1, 70))
def test_rounds_end_with_the_budget_and_begin_with_a_group(num_rollouts):
    ends = rounds(num_rollouts)
    assert ends == sorted(set(ends))
    assert ends[0] >= min(2, num_rollouts)
    assert ends[-1] == num_rollouts
    assert len(ends) <= 4


@pytest.mark.parametrize(("right", "wrong", "more"), [(0, 4, 12), (3, 1, 4), (0, 0, 5), (2, 2, 0)])
@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.3, 0.7), (8.0, 0.02)])
def test_predictive_is_the_beta_binomial(right, wrong, more, prior):
    law = stats.betabinom(more, prior[0] + right, prior[1] + wrong)
    np.testing.assert_allclose(
        predictive(right, wrong, more, prior), law.pmf(np.arange(more + 1)), atol=1e-9
    )


def test_predictive_by_hand():
    # A uniform prior and 1 of 3 right is Beta(2, 3); moments of a Beta are ratios of factorials.
    def moment(i, j):
        whole = Fraction(factorial(4), factorial(1) * factorial(2))
        return whole * Fraction(factorial(1 + i) * factorial(2 + j), factorial(4 + i + j))

    exact = [float(comb(3, k) * moment(k, 3 - k)) for k in range(4)]
    np.testing.assert_allclose(predictive(1, 2, 3, (1.0, 1.0)), exact)


@pytest.mark.parametrize("truth", [(0.4, 0.9), (2.0, 3.0), (0.2, 0.1)])
def test_prior_is_that_of_a_large_pool(truth):
    rng = np.random.default_rng(0)
    correct = rng.binomial(8, rng.beta(*truth, 20_000))
    np.testing.assert_allclose(beta_prior(correct, np.full(20_000, 8)), truth, rtol=0.07)


def test_prior_is_the_most_probable_on_a_grid():
    correct, tried = np.array([0, 0, 1, 4, 7, 8, 2]), np.array([4, 4, 8, 8, 8, 8, 2])

    def cost(a, b):
        found = stats.betabinom(tried, a[..., None], b[..., None]).logpmf(correct).sum(-1)
        return (np.log(a) ** 2 + np.log(b) ** 2) / 2 - found

    best = cost(*(np.array(x) for x in beta_prior(correct, tried)))
    axis = np.exp(np.linspace(-3, 3, 31))
    assert best <= cost(*np.meshgrid(axis, axis)).min() + 1e-6


def test_prior_is_not_biased_by_who_was_stopped():
    rng = np.random.default_rng(1)
    rates = rng.beta(0.4, 0.8, 20_000)
    first, rest = rng.binomial(4, rates), rng.binomial(12, rates)
    stopped = first == 0
    tried = np.where(stopped, 4, 16)
    found = beta_prior(first + np.where(stopped, 0, rest), tried)
    np.testing.assert_allclose(found, (0.4, 0.8), rtol=0.07)


def test_chances_are_those_of_all_outcomes():
    """A pool so small that each way the rest may turn out can be written down."""
    correct, tried, ties = [0, 1, 2, 3], 3, [0.1, 0.7, 0.4, 0.2]
    found = decide(correct, tried, ties=ties, done=3, num_rollouts=5, count=2)
    prior = beta_prior(correct, [tried] * 4)
    laws = [predictive(k, tried - k, 2, prior) for k in correct]
    exact = np.zeros(4)
    for more in itertools.product(range(3), repeat=4):
        rates = (np.array(correct) + more) / 5
        chosen = ranking((rates * (1 - rates)).round(9), np.array(ties))[:2]
        exact[chosen] += np.prod([law[j] for law, j in zip(laws, more, strict=True)])
    # 1,024 imagined outcomes: four standard errors.
    np.testing.assert_allclose(found.chosen, exact, atol=4 * 0.5 / 32)


def spend(rates, num_rollouts, count, error, rng, *, told=False):
    """Do all rounds; gives the share of the full budget's choices lost, and the stated one."""
    num = len(rates)
    right = (rng.random((num, num_rollouts)) < rates[:, None]).cumsum(1)
    errors = np.sqrt(ALIGNMENT_NOISE) * rng.standard_normal((num, num_rollouts))
    truths = rng.standard_normal(num)[:, None] + errors.cumsum(1) / np.arange(1, num_rollouts + 1)
    alignment = 1.0 + 0.7 * truths if told else np.ones_like(truths)
    ties, tried, goes = rng.random(num), np.zeros(num, int), np.ones(num, bool)

    def after(counts):
        here = np.arange(num), counts - 1
        return right[here], alignment[here]

    for done in rounds(num_rollouts)[:-1]:
        tried[goes] = done
        seen, measured = after(tried)
        measured = np.where((seen > 0) & (seen < tried), measured, np.nan)
        found = decide(
            seen, tried, goes, done=done, num_rollouts=num_rollouts, count=count, error=error,
            ties=ties, aligned=told, alignment=measured if told else None,
        )  # fmt: skip
        assert not (found.active & ~goes).any()
        goes = found.active
    tried[goes] = num_rollouts

    def best(counts):
        seen, measured = after(counts)
        rate = seen / counts
        return set(ranking(rate * (1 - rate) * measured, ties)[:count].tolist())

    lost = 1 - len(best(tried) & best(np.full(num, num_rollouts))) / count
    return lost, found.loss, tried.mean() / num_rollouts


@pytest.mark.parametrize(("shape", "told"), [((0.5, 0.5), False), ((0.15, 1.5), True)])
def test_the_stated_loss_is_the_loss(shape, told):
    rng = np.random.default_rng(2)
    runs = [spend(rng.beta(*shape, 200), 16, 40, 0.1, rng, told=told) for _ in range(12)]
    lost, stated, share = np.array(runs).T
    assert (stated <= 0.1).all()
    assert abs((lost - stated).mean()) < 4 * lost.std() / np.sqrt(len(runs)) + 0.005
    assert share.mean() < 0.8


def test_measured_alignments_are_those_imagined():
    """Against the plain simulation: a truth, and the mean of G rollouts around it."""
    rng = np.random.default_rng(4)
    num, few, group = 20_000, 4, 16
    truths = 3.0 + rng.standard_normal(num)
    sums = [
        n * truths + np.sqrt(n * ALIGNMENT_NOISE) * rng.standard_normal(num)
        for n in (few, group - few)
    ]
    told, full = sums[0] / few, sum(sums) / group
    draws = rng.standard_normal((2, 1, num))
    (imagined,) = _alignments(told, np.full(num, few), group, *draws)
    np.testing.assert_allclose(np.cov(told, imagined), np.cov(told, full), rtol=0.05)
    # What nobody measured is like the others.
    told[1::2] = np.nan
    (imagined,) = _alignments(told, np.full(num, few), group, *draws)
    assert imagined[1::2].mean() == pytest.approx(3.0, abs=0.05)
    assert imagined[1::2].var() == pytest.approx(full.var(), rel=0.05)


KINDS = st.sampled_from(["plain", "blind", "told", "signal"])


@given(COUNTS, st.integers(1, 40), KINDS, st.randoms())
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_pool_does_not_matter(correct, count, kind, random):
    count = None if kind == "signal" else count
    names = [str(i) for i in range(len(correct))]
    ties, order = random_keys(names, 3), list(range(len(correct)))
    random.shuffle(order)
    options = {"count": count, "aligned": kind in ("blind", "told")}
    told = np.sqrt(ties) if kind == "told" else np.full(len(correct), np.nan)
    one = decide(correct, ties=ties, alignment=told, **options)
    other = decide(np.array(correct)[order], ties=ties[order], alignment=told[order], **options)
    assert one.active[order].tolist() == other.active.tolist()
    assert one.chosen[order].tolist() == other.chosen.tolist()
    assert one.loss == pytest.approx(other.loss)


@given(COUNTS, st.integers(1, 40), st.floats(0.0, 0.9), st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_more_is_lost_than_may_be(correct, count, error, aligned):
    found = decide(correct, count=count, error=error, aligned=aligned)
    again = decide(correct, count=count, error=error, aligned=aligned)
    # A third of the error, after the first of three decisions.
    assert found.loss <= error / 3 + 1e-12
    assert found.active.tolist() == again.active.tolist()
    assert found.chosen.sum() == pytest.approx(min(count, len(correct)))


@given(COUNTS, st.floats(0.0, 0.4), st.floats(0.0, 0.4))
@settings(max_examples=25, deadline=None)
def test_a_larger_error_stops_no_fewer(correct, one, other):
    small, large = (
        decide(correct, count=3, error=error, aligned=True) for error in sorted([one, other])
    )
    assert not (large.active & ~small.active).any()


@given(COUNTS, st.sampled_from([None, 1, 5]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_nothing_stops_where_nothing_may_be_lost(correct, count, aligned):
    assert decide(correct, count=count, aligned=aligned, error=0.0).active.all()


@given(COUNTS, st.floats(0.01, 0.5))
@settings(max_examples=30, deadline=None)
def test_without_a_budget_a_signal_is_followed(correct, error):
    found = decide(correct, count=None, error=error)
    signal = (np.array(correct) > 0) & (np.array(correct) < 4)
    assert found.active[signal].all()
    assert (found.chosen[signal] == 1.0).all()


def test_the_seed_decides_and_another_decides_alike():
    rng = np.random.default_rng(5)
    correct = rng.binomial(4, rng.beta(0.4, 0.6, 400))
    found = [decide(correct, count=80, seed=seed) for seed in (0, 0, 1)]
    assert (found[0].active == found[1].active).all()
    assert (found[0].chosen != found[2].chosen).any()
    assert found[0].active.mean() == pytest.approx(found[2].active.mean(), abs=0.05)


def test_hopeless_ones_stop_and_open_ones_go_on():
    correct = [0] * 60 + [1] * 20 + [2] * 20 + [4] * 60
    found = decide(correct, count=20, error=0.15)
    assert found.active[60:100].mean() > 0.9
    assert found.active[:60].mean() < 0.6
    assert found.chosen[:60].max() < found.chosen[60:100].min()


def test_sure_ones_stop_unless_the_alignment_is_open():
    # Fifteen problems are far better than all others, and there is room for thirty.
    correct, tried = [6] * 15 + [0] * 200, 12
    options = {"count": 30, "done": 12, "error": 0.05}
    assert not decide(correct, tried, **options).active[:15].any()
    assert decide(correct, tried, aligned=True, **options).active[:15].all()


@pytest.mark.parametrize("right", [0, 4])
@pytest.mark.parametrize("count", [None, 1, 50, 100])
@pytest.mark.parametrize("aligned", [False, True])
def test_pools_without_any_signal(right, count, aligned):
    found = decide([right] * 50, count=count, aligned=aligned)
    assert found.loss <= 0.1
    assert np.isfinite(found.chosen).all()


def test_tiny_pools():
    assert decide([], count=3).active.tolist() == []
    assert decide([2], count=1).chosen.tolist() == [1.0]
    # All are chosen whatever comes: nothing is left to find out.
    assert not decide([1, 0, 3], count=3).active.any()


def test_verdicts_may_be_missing():
    found = decide([0, 0, 1, 2], [0, 3, 4, 2], count=1)
    assert found.loss <= 0.1
    assert found.chosen.sum() == pytest.approx(1.0)
