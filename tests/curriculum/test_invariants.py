"""What every curriculum keeps, whatever is observed: distinct problems, seeds, states, coverage."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.registry import CURRICULA, curriculum_named
from learnalign.curriculum.step import Outcomes, collect_step
from learnalign.errors import LearnAlignError

NAMES = sorted(CURRICULA)
#: How a world answers: from (k,) problems and a generator to (k,) success rates.
WORLDS: dict[str, Any] = {
    "all wrong": lambda places, rng: np.zeros(len(places)),
    "all right": lambda places, rng: np.ones(len(places)),
    "half never, half always": lambda places, rng: (places % 2).astype(float),
    "one with a signal": lambda places, rng: np.where(places == 0, 0.5, 0.0),
    "random": lambda places, rng: rng.random(len(places)),
}
#: Methods that may leave a problem out for very long after it was observed.
MAY_STARVE = {"mopps"}
names, worlds = st.sampled_from(NAMES), st.sampled_from(sorted(WORLDS))


def _step(curriculum: Curriculum, count: int, world: str, rng: np.random.Generator) -> list[int]:
    def roll_out(places: np.ndarray) -> Outcomes:
        return Outcomes(rng.binomial(8, WORLDS[world](places, rng)), 8)

    return collect_step(curriculum, count, roll_out, max_rounds=3).sampled.tolist()


@settings(deadline=None, max_examples=150)
@given(names, worlds, st.integers(1, 30), st.integers(0, 40), st.integers(0, 99))
def test_no_problem_is_twice_in_a_step(name, world, num_problems, count, seed):
    curriculum, rng = curriculum_named(name, num_problems, seed=seed), np.random.default_rng(seed)
    for _ in range(6):
        sampled = _step(curriculum, count, world, rng)
        assert len(set(sampled)) == len(sampled)
        assert all(0 <= index < num_problems for index in sampled)
        if not curriculum.drops:
            assert len(sampled) == min(count, num_problems)


@settings(deadline=None, max_examples=100)
@given(names, worlds, st.integers(1, 12), st.integers(0, 8), st.integers(0, 3), st.integers(0, 99))
def test_a_restored_state_has_the_same_future(name, world, size, before, rounds, seed):
    first, rng = curriculum_named(name, 20, seed=seed), np.random.default_rng(seed)
    for _ in range(before):
        _step(first, size, world, rng)
    # Then somewhere inside a step: after some rounds, or before the outcome of one is known.
    pending = first.next_batch(size)
    for _ in range(rounds):
        first.observe(pending, np.arange(len(pending)) % 9, 8)
        pending = first.next_batch(size, refill=True)
    second = curriculum_named(name, 20, seed=seed)
    state = json.loads(json.dumps(first.state_dict()))
    second.load_state_dict(state)
    assert second.state_dict() == first.state_dict() == state
    assert second.metrics() == first.metrics()
    for curriculum in (first, second):
        curriculum.observe(pending, np.arange(len(pending)) % 9, 8)
    futures = []
    for curriculum in (first, second):
        world_rng = np.random.default_rng(seed + 1)
        futures.append([_step(curriculum, size, world, world_rng) for _ in range(5)])
    assert futures[0] == futures[1]
    assert first.state_dict() == second.state_dict()


@settings(deadline=None, max_examples=50)
@given(names, worlds, st.integers(1, 12), st.integers(1, 3), st.integers(0, 99))
def test_outcomes_may_come_late(name, world, count, ahead, seed):
    curriculum, rng = curriculum_named(name, 15, seed=seed), np.random.default_rng(seed)
    waiting = [curriculum.next_batch(count) for _ in range(ahead)]
    for _ in range(20):
        batch = curriculum.next_batch(count)
        assert len(set(batch.tolist())) == min(count, 15)
        waiting.append(batch)
        places = waiting.pop(0)
        curriculum.observe(places, rng.binomial(8, WORLDS[world](places, rng)), 8)
        assert curriculum.metrics()["groups"] == len(places)
    assert curriculum.times_observed.sum() == 20 * min(count, 15)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_copy(name):
    curriculum = curriculum_named(name, 10)
    state = curriculum.state_dict()
    before = json.dumps(state)
    curriculum.observe(curriculum.next_batch(5), np.arange(5), 8)
    curriculum.next_batch(5)
    assert json.dumps(state) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    def sequence(seed: int) -> list[list[int]]:
        curriculum, rng = curriculum_named(name, 50, seed=seed), np.random.default_rng(0)
        return [_step(curriculum, 8, "random", rng) for _ in range(10)]

    assert sequence(3) == sequence(3)
    assert sequence(3) != sequence(4)


@pytest.mark.parametrize("world", sorted(WORLDS))
@pytest.mark.parametrize("name", NAMES)
def test_no_problem_is_starved(name, world):
    curriculum, rng = curriculum_named(name, 40, seed=1), np.random.default_rng(1)
    for _ in range(200):
        _step(curriculum, 4, world, rng)
    once = curriculum.times_observed.copy()
    assert once.min() >= 1
    # And again, by every method that promises it.
    for _ in range(400):
        _step(curriculum, 4, world, rng)
    if name not in MAY_STARVE:
        assert (curriculum.times_observed - once).min() >= 1


def test_mopps_without_a_discount_may_leave_problems_out_for_long():
    curriculum, rng = curriculum_named("mopps", 40, seed=1), np.random.default_rng(1)
    for _ in range(600):
        _step(curriculum, 4, "random", rng)
    once = curriculum.times_observed.copy()
    for _ in range(600):
        _step(curriculum, 4, "random", rng)
    assert (curriculum.times_observed == once).any()


@pytest.mark.parametrize("name", NAMES)
def test_edges(name):
    one = curriculum_named(name, 1)
    assert one.next_batch(0).tolist() == []
    assert one.next_batch(5).tolist() == [0]
    assert one.next_batch(5, refill=True).tolist() == []
    assert len(one.observe([], [], 8)) == 0
    for successes in (0, 8, 0, 8):
        one.observe([0], [successes], 8)
        assert one.next_batch(1).tolist() == [0]
    # Nothing was verified: neither easy nor hard, and no error.
    estimate = one.estimates()
    one.observe([0], [0], 0)
    np.testing.assert_array_equal(one.estimates(), estimate)
    assert one.next_batch(1).dtype == np.int64


@pytest.mark.parametrize("name", NAMES)
def test_real_valued_rewards(name):
    curriculum = curriculum_named(name, 4)
    keep = curriculum.observe([0, 1, 2, 3], [0.0, 3.7, 4.0, 8.0], [8, 8, 5, 8])
    assert keep.tolist() == ([False, True, True, False] if curriculum.drops else [True] * 4)
    # Equal rewards of 0.5 sum to 4: only the trainer knows that they do not differ.
    keep = curriculum.observe([2, 3], [4.0, 4.0], 8, has_signal=[False, True])
    assert keep.tolist() == ([False, True] if curriculum.drops else [True] * 2)
    assert curriculum.metrics()["groups_with_signal"] == pytest.approx(3 / 6)
    assert curriculum.times_observed.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("indices", "successes", "num_rollouts"),
    [
        ([0, 0], [1, 1], 8),
        ([5], [1], 8),
        ([-1], [1], 8),
        ([0, 1], [1], 8),
        ([0], [9], 8),
        ([0], [-1], 8),
        ([0], [float("nan")], 8),
        ([0, 1], [1, 1], [8, 8, 8]),
        ([0, 1], [1, 1], [[8], [8]]),
        ([0, 1], [1, 1], "many"),
        ([0], [1], float("inf")),
        ([0, 1], [1, None], 8),
        ([0, 1], ["a", "b"], 8),
        ([0, 1], [[1], [1, 2]], 8),
        ([0.0, 1.7], [1, 1], 8),
        ([True, False], [1, 1], 8),
        ([[0], [1, 2]], [1, 1], 8),
        (["0"], [1], 8),
        ([None], [1], 8),
    ],
)
def test_wrong_outcomes_are_errors(indices, successes, num_rollouts):
    curriculum = curriculum_named("mapp", 5)
    before = curriculum.state_dict()
    with pytest.raises(LearnAlignError):
        curriculum.observe(indices, successes, num_rollouts)
    assert curriculum.state_dict() == before


@pytest.mark.parametrize("has_signal", [True, [True], [[True, False]], [True] * 3, [[1], [1, 2]]])
def test_a_signal_for_each_problem(has_signal):
    curriculum = curriculum_named("dynamic", 5)
    with pytest.raises(LearnAlignError, match="has_signal"):
        curriculum.observe([0, 1], [1, 1], 8, has_signal=has_signal)
    assert curriculum.times_observed.sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_a_steps_problems(name):
    """They come after the rewards; a method that does not use them is not changed by them."""
    curriculum = curriculum_named(name, 6)
    places = curriculum.next_batch(3)
    curriculum.observe(places, [1, 4, 7], 8)
    before = curriculum.state_dict()
    rows = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    curriculum.observe_gradients(places, rows)
    curriculum.observe_gradients([], np.zeros((0, 5), dtype=np.float32))
    assert curriculum.uses_gradients or curriculum.state_dict() == before


@pytest.mark.parametrize(
    ("indices", "rows", "message"),
    [
        ([0, 0], np.ones((2, 3)), "sketches of shape"),
        ([5], np.ones((1, 3)), "sketches of shape"),
        ([-1], np.ones((1, 3)), "sketches of shape"),
        ([0, 1], np.ones((1, 3)), "sketches of shape"),
        ([0, 1], np.ones(2), "sketches of shape"),
        ([0], np.array([[1.0, np.nan]]), "NaN or Inf"),
        ([0], np.array([[1.0, np.inf]]), "NaN or Inf"),
        ([0.5], np.ones((1, 3)), "whole numbers"),
        ([0], [["a"]], "sketches of which numpy makes no array"),
    ],
)
def test_wrong_gradients_are_errors(indices, rows, message):
    curriculum = curriculum_named("order", 5)
    with pytest.raises(LearnAlignError, match=message):
        curriculum.observe_gradients(indices, rows)


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(1, 4), st.booleans())
def test_a_step_stops_at_its_limit_and_charges_every_group(size, max_rounds, whole):
    curriculum = curriculum_named("dynamic", 1000, seed=0)
    step = collect_step(
        curriculum, size, lambda i: Outcomes(np.zeros(len(i)), 8),
        max_rounds=max_rounds, whole_batches=whole,
    )  # fmt: skip
    assert step.rounds == max_rounds
    assert len(step.trained) == 0
    assert len(step.sampled) == size * max_rounds == curriculum.metrics()["groups"]
