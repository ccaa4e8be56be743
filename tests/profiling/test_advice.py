"""The advice follows the measured trainings, says when it is not sure, and what to fix first."""

import dataclasses

import pytest

from learnalign.profiling.advice import advise
from learnalign.profiling.measures import Share, measure
from profiling.test_measures import table_of


def _pool(signal, total=200):
    return measure(table_of([[1, 0]] * signal + [[0, 0]] * (total - signal)))


@pytest.mark.parametrize(
    ("signal", "extra", "action"),
    [
        (140, -1, "train"),  # half or more: choosing once did not pay
        (100, -1, "train"),
        (68, -1, "select"),  # a third: p(1-p) was above random
        (68, 1, "train"),  # but not where everything costs less
        (25, -1, "curriculum"),  # an eighth: the choice inside the training
        (25, 1, "curriculum"),
        (0, -1, "stop"),
    ],
)
def test_the_measured_pools(signal, extra, action):
    found = advise(_pool(signal), extra_rollouts=extra)
    assert found.action == action
    words = {
        "train": "half" if signal >= 100 else "costs fewer rollouts",
        "select": "0.249",
        "curriculum": "0.046",
        "stop": "no policy gradient",
    }
    assert words[action] in found.evidence


@pytest.mark.parametrize(
    ("signal", "total", "sure"),
    [(68, 200, True), (95, 200, False), (45, 200, False), (7, 20, False), (150, 200, True)],
)
def test_sure_only_if_the_whole_interval_says_the_same(signal, total, sure):
    assert advise(_pool(signal, total), extra_rollouts=-1).sure == sure


def test_the_format_comes_first():
    good = _pool(68)
    assert not advise(good, extra_rollouts=-1).warnings
    bad = dataclasses.replace(good, unread=Share(80, 400, 0.2), truncated=Share(60, 400, 0.15))
    first, second = advise(bad, extra_rollouts=-1).warnings
    assert first.startswith("no answer could be read in 20% of the rollouts")
    assert second.startswith("15% of the rollouts reached the limit")
