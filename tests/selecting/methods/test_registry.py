"""Each method on a hand-computed pool; ties, budgets and names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnalign.errors import LearnAlignError
from learnalign.selecting.candidates import Candidates
from learnalign.selecting.methods.registry import method_named
from learnalign.selecting.order import budget_count, by_source, random_keys, ranking

POOL = Candidates(
    learnability=np.array([0.25, 0.1, 0.0, 0.2]),
    alignment=np.array([0.01, 0.05, 0.0, -0.02]),
    success_rate=np.array([0.5, 0.1, 1.0, 0.7]),
    tie_breaks=np.array([0.4, 0.3, 0.2, 0.9]),
)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("learnalign", [1, 0, 2, 3]),  # 0.005, 0.0025, 0, -0.004
        ("learnability", [0, 3, 1, 2]),
        ("alignment", [1, 0, 3, 2]),  # the problem without a gradient is last
        ("band", [3, 0, 1, 2]),  # inside 0.2 to 0.8, the luckier first
        ("random", [3, 0, 1, 2]),
    ],
)
def test_order_by_hand(name, order):
    assert ranking(method_named(name).score(POOL), POOL.tie_breaks).tolist() == order


@given(st.permutations(list(range(12))), st.integers(0, 3))
def test_ties_do_not_depend_on_the_pools_order(order, seed):
    names = [f"p{i}" for i in range(12)]
    scores = np.array([i // 4 for i in range(12)], dtype=float)
    plain = [names[i] for i in ranking(scores, random_keys(names, seed))]
    mixed = [names[i] for i in order]
    again = [mixed[i] for i in ranking(scores[order], random_keys(mixed, seed))]
    assert again == plain


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_sources_keep_their_shares_and_their_own_order(problems, random):
    sources, signal = [name for name, _ in problems], np.array([s for _, s in problems])
    order = list(range(len(problems)))
    random.shuffle(order)
    merged = by_source(np.array(order), sources, signal).tolist()
    assert sorted(merged) == sorted(order)
    live = [i for i in merged if signal[i]]
    assert merged[: len(live)] == live  # those without a signal come last
    for name in set(sources):
        mine = [i for i in order if sources[i] == name and signal[i]]
        assert [i for i in live if sources[i] == name] == mine
        for count in range(len(live) + 1):
            share = len(mine) * count / len(live) if live else 0
            assert abs(sum(sources[i] == name for i in live[:count]) - share) < 2


def test_luck_is_even():
    values = random_keys([str(i) for i in range(20_000)], 0)
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert abs(counts - 2000).max() < 200


def test_unknown_method():
    with pytest.raises(LearnAlignError, match="the nearest is 'learnalign'"):
        method_named("lernalign")


def test_budget_larger_than_the_pool():
    with pytest.raises(LearnAlignError, match="at most the 4 problems"):
        budget_count(5, 4)
