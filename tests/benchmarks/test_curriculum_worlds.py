"""The simulated trainings: rates by hand, drawn groups against their chance, growth as assumed."""

from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from learnalign.curriculum.registry import curriculum_named

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("curriculum_worlds")


def fixed(worlds: ModuleType, rates: np.ndarray) -> Any:
    return worlds.Fixed(rates, [f"problem {number}" for number in range(len(rates))])


def test_recorded_rates_are_lines_between_readings(worlds):
    world = worlds.Recorded([[0.0, 1.0], [0.5, 0.0, 0.5, 1.0, 1.0]], ["a", "b"], 8)
    found = []
    for _ in range(10):  # two steps beyond the record keep the last rates
        found.append(world.rates().tolist())
        world.train(np.array([], dtype=np.int64))
    assert [row[0] for row in found] == [k / 8 for k in range(9)] + [1.0]
    assert [row[1] for row in found[:5]] == [0.5, 0.25, 0.0, 0.25, 0.5]


def test_smoothing_is_the_mean_of_neighbours(worlds):
    assert worlds.smoothed([0, 3, 6, 0], 3).tolist() == [1.5, 3.0, 3.0, 3.0]
    assert worlds.smoothed([0, 3, 6], 1).tolist() == [0, 3, 6]


@pytest.mark.parametrize("share", [0.1, 1 / 3])
def test_synthetic_problems_have_a_signal_as_asked(worlds, share):
    world = worlds.Synthetic(share, 0.1, seed=1, normalised=False)
    rates = world.rates()
    assert worlds.signal_chance(rates).mean() == pytest.approx(share, abs=1e-6)
    assert np.median(rates) < 0.5  # most are too hard, not too easy


@pytest.mark.parametrize("normalised", [False, True])
def test_synthetic_log_odds_grow_by_cluster(worlds, normalised):
    world = worlds.Synthetic(0.1, 0.1, seed=1, normalised=normalised)

    def log_odds() -> np.ndarray:
        return np.log(world.rates() / (1 - world.rates()))

    before, accuracy = log_odds(), world.accuracy()
    world.train(np.array([0, 30, 1]))  # two of the first cluster, one of the second
    scale = 64 / 3 if normalised else 1.0
    own = np.zeros(1200)
    own[0::30], own[1::30] = 0.2, 0.1
    np.testing.assert_allclose(log_odds() - before, scale * (own + 0.003), rtol=1e-6)
    assert world.accuracy() > accuracy
    still = world.rates()
    world.train(np.array([], dtype=np.int64))
    np.testing.assert_array_equal(world.rates(), still)


def test_groups_have_a_signal_as_often_as_they_should(worlds):
    rates = np.full(500, 0.3)
    world = fixed(worlds, rates)
    curriculum = curriculum_named("order", 500)
    moments = list(islice(worlds.simulate(world, curriculum, seed=0), 200))
    share = sum(m.with_signal for m in moments) / sum(len(m.sampled) for m in moments)
    assert share == pytest.approx(1 - 0.3**8 - 0.7**8, abs=0.01)
    assert all(len(m.trained) == m.with_signal and m.rounds == 1 for m in moments)


def test_refills_are_charged_and_the_surplus_is_not_trained(worlds):
    world = fixed(worlds, np.full(2000, 0.05))
    for whole in (False, True):
        curriculum = curriculum_named("dynamic", 2000)
        moment = next(worlds.simulate(world, curriculum, seed=0, whole_batches=whole))
        assert len(moment.trained) <= 64
        assert moment.rounds > 1
        assert len(moment.sampled) > 64
        if whole:
            assert len(moment.sampled) == 64 * moment.rounds
        else:
            assert len(moment.trained) == moment.with_signal


def test_the_oracle_takes_what_has_a_signal(worlds):
    rates = np.concatenate([np.zeros(400), np.full(64, 0.5), np.full(400, 0.01)])
    top = worlds.Oracle(fixed(worlds, rates), top=True, seed=0)
    assert sorted(top.next_batch(64).tolist()) == list(range(400, 464))
    drawn = worlds.Oracle(fixed(worlds, rates), top=False, seed=0).next_batch(64)
    assert drawn.min() >= 400
    assert len(set(drawn.tolist())) == 64
