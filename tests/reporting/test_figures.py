"""The figures hold the tables' own numbers: counts, points, shares."""

import numpy as np
import pytest

from helpers.synthetic_run import synthetic_run
from learnalign.reporting import figures, stats


@pytest.fixture(scope="module")
def scores():
    return synthetic_run(num_problems=120, budget=30).scores


def points(figure, index):
    return list(zip(figure.data[index].x, figure.data[index].y, strict=True))


def test_one_bar_a_success_rate_when_groups_are_alike(scores):
    pool, chosen = figures.success_rates(scores).data
    assert np.allclose(pool.x, np.arange(9) / 8)
    rows = scores.to_pylist()
    assert list(pool.y) == [sum(r["num_correct"] == k for r in rows) for k in range(9)]
    assert list(chosen.y) == [
        sum(r["num_correct"] == k and r["selected"] for r in rows) for k in range(9)
    ]


@pytest.mark.parametrize("options", [{"real_valued": True}, {"num_rollouts": 64}], ids=str)
def test_twenty_bins_otherwise_and_nobody_is_lost(options):
    scores = synthetic_run(num_problems=60, budget=10, **options).scores
    pool, chosen = figures.success_rates(scores).data
    assert len(pool.x) == 20
    assert (sum(pool.y), sum(chosen.y)) == (60, 10)


def test_every_problem_is_a_point_and_the_chosen_are_marked(scores):
    rest, chosen = (points(figures.learnability_alignment(scores, seed=0), i) for i in (0, 1))
    rows = scores.to_pylist()
    assert chosen == [(r["learnability"], r["alignment"]) for r in rows if r["selected"]]
    assert len(rest) + len(chosen) == len(rows)


def test_the_chosen_lie_on_or_above_the_curve(scores):
    plane = figures.learnability_alignment(scores, seed=0)
    assert figures.add_threshold(plane, scores)
    x, y = np.array(plane.data[2].x), np.array(plane.data[2].y)
    lowest = min(r["score"] for r in scores.to_pylist() if r["selected"])
    assert np.allclose(x * y, lowest)
    assert all(a * b >= lowest - 1e-12 for a, b in points(plane, 1))


def test_a_large_pool_is_subsampled_with_a_seed_and_says_so():
    scores = synthetic_run(num_problems=5200, budget=100, num_rollouts=2).scores
    first, again = (figures.learnability_alignment(scores, seed=3) for _ in range(2))
    assert first.to_json() == again.to_json()
    assert sum(len(trace.x) for trace in first.data) == figures.MAX_POINTS
    assert first.layout.annotations[0].text == "random sample of 5,000 of 5,200 problems"


def test_shares_add_up_past_thirty_strata():
    strata = [stats.Stratum(f"kind {i}", total=10 + i, chosen=i % 7) for i in range(40)]
    chosen, rest = figures.shares(strata).data
    assert len(chosen.x) == figures.MAX_STRATA
    assert sum(chosen.x) == sum(row.chosen for row in strata)
    assert sum(chosen.x) + sum(rest.x) == sum(row.total for row in strata)


def test_a_wide_range_gets_a_logarithmic_axis(scores):
    assert figures.length_norm(scores, seed=0).layout.xaxis.type is None
    column = scores.schema.get_field_index("mean_response_tokens")
    wide = scores.set_column(
        column, scores.schema.field(column), [np.geomspace(1, 5000, len(scores)).tolist()]
    )
    assert figures.length_norm(wide, seed=0).layout.xaxis.type == "log"


def test_difficulties_are_in_natural_order():
    scores = synthetic_run(num_problems=30, budget=5).scores
    column = scores.schema.get_field_index("difficulty")
    names = ["level 10", "level 2", None] * 10
    scores = scores.set_column(column, scores.schema.field(column), [names])
    assert [row.name for row in stats.strata(scores, "difficulty")] == [
        "level 2",
        "level 10",
        stats.NOT_GIVEN,
    ]
