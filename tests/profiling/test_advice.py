"""The advice follows the measured trainings, says when it is not sure, and what to fix first."""

import dataclasses

import pytest

from learnalign.profiling.advice import advise
from learnalign.profiling.costs import Plan
from learnalign.profiling.measures import Share, measure
from profiling.test_measures import table_of


def _pool(signal, total=200):
    return measure(table_of([[1, 0]] * signal + [[0, 0]] * (total - signal)))


def _plan(passes, reused=200):
    return Plan(pool=1600, chosen=160, passes=passes, num_rollouts=8, reused=reused)


@pytest.mark.parametrize(
    ("signal", "passes", "reused", "action"),
    [
        (140, 4, 200, "train"),  # two thirds have a signal: a choice does not earn its cost
        (100, 4, 200, "train"),
        (140, 4, 1600, "train"),  # nor if it is free
        (20, 4, 200, "select"),  # a tenth, four passes: it does
        (20, 1, 200, "curriculum"),  # but not in one pass: choose inside the training
        (60, 1, 1600, "select"),  # all rollouts exist already: choosing is free
        (0, 4, 200, "stop"),
    ],
)
def test_the_measured_pools(signal, passes, reused, action):
    found = advise(_pool(signal), _plan(passes, reused))
    assert found.action == action
    words = {
        "train": "as good or better",
        "select": "as cheap a choice",
        "curriculum": "0.046",
        "stop": "no policy gradient",
    }
    assert words[action] in found.evidence
    assert (found.forecast is None) == (action == "stop")
    assert (action == "select") == bool(found.forecast and found.forecast.over_pool.mean > 0.0)


@pytest.mark.parametrize(
    ("signal", "total", "sure"), [(150, 200, True), (20, 200, True), (2, 20, False)]
)
def test_sure_only_if_the_whole_interval_says_the_same(signal, total, sure):
    assert advise(_pool(signal, total), _plan(4)).sure == sure


def test_the_format_comes_first():
    good = _pool(68)
    assert not advise(good, _plan(4)).warnings
    bad = dataclasses.replace(good, unread=Share(80, 400, 0.2), truncated=Share(60, 400, 0.15))
    first, second = advise(bad, _plan(4)).warnings
    assert first.startswith("no answer could be read in 20% of the rollouts")
    assert second.startswith("15% of the rollouts reached the limit")
