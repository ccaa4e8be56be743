"""Each method against its formula, by hand and by counting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from learnalign.curriculum.dynamic import Dynamic
from learnalign.curriculum.greso import GRESO
from learnalign.curriculum.mapp import MaPP, proportional
from learnalign.curriculum.mopps import MoPPS
from learnalign.curriculum.order import Order
from learnalign.curriculum.posterior import BetaPosterior
from learnalign.errors import LearnAlignError
from learnalign.training.order import step_problems


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 15), st.booleans(), st.integers(0, 5))
def test_order_is_the_trainers_order(num_problems, per_step, steps, shuffled, seed):
    expected = step_problems(num_problems, per_step, steps=steps, shuffled=shuffled, seed=seed)
    for kind in (Order, Dynamic):
        curriculum = kind(num_problems, shuffled=shuffled, seed=seed)
        for row in expected.tolist():
            assert curriculum.next_batch(per_step).tolist() == row


def test_dynamic_refills_from_where_it_was():
    curriculum = Dynamic(5, shuffled=False)
    assert curriculum.next_batch(3).tolist() == [0, 1, 2]
    assert curriculum.observe([0, 1, 2], [0, 8, 7], 8).tolist() == [False, False, True]
    # The pass ends in the refill; 0 and 1 wait for the next step, in which they come first.
    assert curriculum.next_batch(3, refill=True).tolist() == [3, 4]
    assert curriculum.next_batch(3).tolist() == [0, 1, 2]


def test_posterior_by_hand():
    posterior = BetaPosterior(3, discount=0.5, prior=(1.0, 2.0), counts=[[0, 0], [3, 1], [0, 0]])
    assert posterior.successes.tolist() == [1.0, 4.0, 1.0]
    assert posterior.failures.tolist() == [2.0, 3.0, 2.0]
    posterior.update(np.array([1, 2]), np.array([6.0, 0.5]), np.array([8.0, 4.0]))
    # 0.5 * 4 + 0.5 * 1 + 6 and 0.5 * 3 + 0.5 * 2 + 2; 0.5 + 0.5 + 0.5 and 1 + 1 + 3.5.
    assert posterior.successes.tolist() == [1.0, 8.5, 1.5]
    assert posterior.failures.tolist() == [2.0, 4.5, 5.5]
    assert posterior.mean()[1] == 8.5 / 13


@pytest.mark.parametrize("options", [{"discount": 0.0}, {"discount": 1.1}, {"prior": (0.0, 1.0)}])
def test_a_posterior_needs_a_discount_and_a_prior(options):
    with pytest.raises(LearnAlignError):
        BetaPosterior(2, **options)


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, -1], [0, 0]], [[math.nan, 1], [0, 0]]])
def test_known_counts_are_checked(counts):
    with pytest.raises(LearnAlignError):
        BetaPosterior(2, counts=counts)


def test_mopps_is_the_nearest_of_its_sampled_candidates():
    curriculum = MoPPS(40, seed=5, candidates=3)
    curriculum.observe(np.arange(40), np.arange(40) % 9, 8)
    rng = np.random.default_rng(5)
    candidates = rng.choice(np.arange(40), size=12, replace=False)
    drawn = rng.beta(1 + candidates % 9, 9 - candidates % 9)
    nearest = sorted(zip(abs(drawn - 0.5), candidates, strict=True))[:4]
    assert curriculum.next_batch(4).tolist() == [index for _, index in nearest]


def test_mopps_with_much_evidence_takes_the_target():
    counts = np.array([[100, 0], [0, 100], [50, 50], [90, 10], [48, 52]])
    curriculum = MoPPS(5, counts=counts, counts_weight=100.0)
    assert sorted(curriculum.next_batch(2).tolist()) == [2, 4]
    assert MoPPS(5, counts=counts).posterior.successes.tolist() == [301, 1, 151, 271, 145]
    other = MoPPS(5, counts=counts, counts_weight=100.0, target=0.9)
    assert other.next_batch(1).tolist() == [3]


def test_mapp_chance_by_hand():
    posterior = BetaPosterior(2, counts=[[0, 0], [0, 8]])
    # Beta(1, b): all wrong b / (b + 2), all right 2 / ((b + 1)(b + 2)) for G = 2.
    expected = [1 - 1 / 3 - 2 / 6, 1 - 9 / 11 - 2 / 110]
    np.testing.assert_allclose(posterior.signal_chance(2), expected, rtol=1e-12)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=5),
    st.integers(1, 64),
)
def test_mapp_chance_is_the_beta_binomials(counts, num_rollouts):
    posterior = BetaPosterior(len(counts), counts=counts)
    a, b = posterior.successes, posterior.failures
    whole = stats.betabinom.pmf([[0], [num_rollouts]], num_rollouts, a, b).sum(0)
    log_ratio = special.betaln(a + num_rollouts, b) - special.betaln(a, b)
    other = special.betaln(a, b + num_rollouts) - special.betaln(a, b)
    by_formula = 1 - np.exp(log_ratio) - np.exp(other)
    np.testing.assert_allclose(posterior.signal_chance(num_rollouts), by_formula, atol=1e-9)
    np.testing.assert_allclose(posterior.signal_chance(num_rollouts), 1 - whole, atol=1e-7)


def test_proportional_is_successive_sampling():
    weights, draws = np.array([4.0, 2.0, 1.0, 1.0, 9.0]), 20_000
    excluded = np.array([False, False, False, False, True])
    rng = np.random.default_rng(0)
    found = [tuple(proportional(weights, excluded, 2, rng).tolist()) for _ in range(draws)]
    for first, second in itertools.permutations(range(4), 2):
        chance = weights[first] / 8 * weights[second] / (8 - weights[first])
        share = sum(pair == (first, second) for pair in found) / draws
        assert abs(share - chance) < 5 * math.sqrt(chance * (1 - chance) / draws)
    assert not any(4 in pair for pair in found)


def test_proportional_fills_with_problems_of_weight_zero():
    drawn = proportional(np.array([0.0, 1.0, 0.0]), np.zeros(3, bool), 3, np.random.default_rng(0))
    assert drawn[0] == 1
    assert sorted(drawn.tolist()) == [0, 1, 2]


def test_mapp_draws_by_its_posterior():
    counts = [[4, 4], [0, 80], [80, 0], [40, 40]]
    curriculum = MaPP(4, seed=1, counts=counts)
    chance = curriculum.posterior.signal_chance(8)
    first = [int(curriculum.next_batch(1)[0]) for _ in range(8000)]
    shares = np.bincount(first, minlength=4) / len(first)
    np.testing.assert_allclose(shares, chance / chance.sum(), atol=0.02)


def test_greso_counts_runs():
    curriculum = GRESO(3)
    for successes in ([8, 0, 4], [8, 0, 8], [8, 3, 8]):
        curriculum.observe([0, 1, 2], successes, 8)
    assert curriculum.runs.tolist() == [[3, 0, 2], [0, 0, 0]]
    assert curriculum.skip_chances()[0] == 1 - 0.5**3
    assert curriculum.skip_chances()[1] == 0.0
    for _ in range(8):
        # A mean of 0.1 in each rollout, as for the format alone.
        curriculum.observe([1], [0.8], 8, has_signal=[False])
    assert curriculum.runs[1, 1] == 8
    assert curriculum.skip_chances()[1] == 0.99  # 1 - max(0.5^8, 0.01)


def test_a_group_with_a_signal_is_neither_easy_nor_hard_for_greso():
    curriculum = GRESO(4)
    curriculum.observe([0, 1, 2, 3], [0, 0, 100, 100], 100)
    curriculum.observe([0, 1, 2, 3], [1, 0, 99, 100], 100)  # means of 0.01 and 0.99 have a signal
    assert curriculum.runs.tolist() == [[0, 0, 0, 2], [0, 2, 0, 0]]
    assert curriculum.state_dict()["method"]["seen"] == [3, 3]
    curriculum.observe([0], [8.0], 8, has_signal=[True])  # the trainer knows better
    assert curriculum.runs[:, 0].tolist() == [0, 0]


def test_greso_keeps_the_files_order():
    curriculum = GRESO(4, shuffled=False)
    assert [curriculum.next_batch(3).tolist() for _ in range(2)] == [[0, 1, 2], [3, 0, 1]]


def test_greso_skips_with_that_chance():
    curriculum = GRESO(20_000, seed=2)
    curriculum.observe(np.arange(20_000), np.full(20_000, 8), 8)
    curriculum.observe(np.arange(20_000), np.full(20_000, 8), 8)
    # A quarter is kept, so the pass yields 5,000 problems.
    curriculum.next_batch(4000)
    queue = len(curriculum.state_dict()["method"]["queue"])
    met = 20_000 - queue
    assert abs(4000 / met - 0.25) < 5 * math.sqrt(0.25 * 0.75 / met)


def _greso_step(curriculum: GRESO, successes: list[int]) -> None:
    places = curriculum.next_batch(len(successes))
    curriculum.observe(places, successes, 8)


def test_greso_moves_its_exploration_rates():
    curriculum = GRESO(4, seed=0)
    # The first pass moves nothing, whatever comes.
    _greso_step(curriculum, [0, 8])
    _greso_step(curriculum, [3, 3])
    curriculum.next_batch(0)
    assert curriculum.exploration == [0.5, 0.5]
    # From the second pass: easy 1/2 >= 0.083, hard 0 < 0.167; then the other way round.
    _greso_step(curriculum, [8, 3])
    curriculum.next_batch(0)
    np.testing.assert_allclose(curriculum.exploration, [0.49, 0.51])
    _greso_step(curriculum, [0, 3])
    curriculum.next_batch(0)
    np.testing.assert_allclose(curriculum.exploration, [0.50, 0.50])


def test_greso_moves_once_a_step_by_all_rounds():
    curriculum = GRESO(12, seed=0)
    curriculum.passes.begun = 2
    places = curriculum.next_batch(1)
    curriculum.observe(places, [8], 8)
    for _ in range(12 - 1):  # one easy group in 12 is just below the target of 0.0833...
        curriculum.observe(curriculum.next_batch(1, refill=True), [4], 8)
    assert curriculum.exploration == [0.5, 0.5]
    curriculum.next_batch(1)
    expected = 0.49 if 1 / 12 >= 0.25 / 3 else 0.51
    assert curriculum.exploration[0] == expected
    assert curriculum.exploration[1] == 0.51


def test_greso_keeps_its_rates_within_bounds():
    curriculum = GRESO(2, seed=0)
    for _ in range(60):
        _greso_step(curriculum, [8, 8])
    assert curriculum.exploration == pytest.approx([0.05, 0.95])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 8), min_size=4, max_size=4), min_size=1, max_size=40))
def test_greso_is_its_plain_loop(steps):
    curriculum = GRESO(10, seed=4)
    traces: dict[int, list[float]] = {index: [] for index in range(10)}
    easy_rate = hard_rate = 0.5
    for outcomes in steps:
        places = curriculum.next_batch(4).tolist()
        after_first_pass = curriculum.passes.begun > 1
        curriculum.observe(places, outcomes, 8)
        for place, outcome in zip(places, outcomes, strict=True):
            traces[place].append(outcome / 8)
        curriculum.next_batch(0)
        if after_first_pass:
            easy, hard = outcomes.count(8) / 4, outcomes.count(0) / 4
            easy_rate += -0.01 if easy >= 0.25 / 3 else 0.01
            hard_rate += -0.01 if hard >= 0.25 * 2 / 3 else 0.01
            easy_rate, hard_rate = (min(max(e, 0.05), 0.95) for e in (easy_rate, hard_rate))
        assert curriculum.exploration == pytest.approx([easy_rate, hard_rate])
        for place, trace in traces.items():
            easy_run = len(list(itertools.takewhile(lambda rate: rate >= 0.98, trace[::-1])))
            hard_run = len(list(itertools.takewhile(lambda rate: rate <= 0.11, trace[::-1])))
            chance = 0.0
            if easy_run:
                chance = 1 - max(easy_rate**easy_run, 0.01)
            elif hard_run:
                chance = 1 - max(hard_rate**hard_run, 0.01)
            assert curriculum.skip_chances()[place] == pytest.approx(chance)
