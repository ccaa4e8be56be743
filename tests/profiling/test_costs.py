"""Costs of choosing, compared with running the plan problem by problem."""

import numpy as np
import pytest

from learnalign.profiling.costs import Plan, forecast
from profiling.test_measures import table_of


def _played(tokens, value, plan):
    """Spend the tokens of each way on a pool that is the sample, copied."""
    copies = plan.pool // len(tokens)
    pool = sorted(zip(value, tokens, strict=True), reverse=True) * copies
    pool.sort(reverse=True)
    best = [length for _, length in pool[: plan.chosen]]
    select = sum(length for _, length in pool) * (1 - plan.reused / plan.pool)
    return {
        "select": select,
        "train on the chosen": plan.passes * sum(best),
        "train on everything": plan.passes * sum(length for _, length in pool),
        "train on random problems": plan.passes * plan.chosen * np.mean(tokens),
    }


@pytest.mark.parametrize("reused", [0, 6])
@pytest.mark.parametrize(("chosen", "passes"), [(10, 1.0), (20, 3.0), (60, 0.5)])
def test_the_plan_played(chosen, passes, reused):
    rewards = [[0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    tokens = [100, 140, 30, 400, 100, 370]
    plan = Plan(pool=60, chosen=chosen, passes=passes, num_rollouts=4, reused=reused)
    costs = {c.name: c for c in forecast(table_of(rewards, response_tokens=tokens), plan)}
    played = _played(tokens, [np.var(group) for group in rewards], plan)
    for name, wanted in played.items():
        assert costs[name].tokens.value == pytest.approx(wanted), name
        assert costs[name].tokens.low <= wanted <= costs[name].tokens.high
    both = played["select"] + played["train on the chosen"]
    for name, other in (
        ("more than everything", "train on everything"),
        ("more than random problems", "train on random problems"),
    ):
        assert costs[name].tokens.value == pytest.approx(both - played[other])
        select, train = costs["select"].rollouts, costs["train on the chosen"].rollouts
        assert costs[name].rollouts == select + train - costs[other].rollouts
    assert costs["select"].rollouts == (60 - reused) * 4
    assert costs["train on everything"].rollouts == 60 * 4 * passes


def test_the_interval_holds_the_pools_cost_in_19_of_20_samples():
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(4.0, 0.6, 1000)
    plan = Plan(pool=1000, chosen=100, passes=2.0, num_rollouts=4, reused=0)
    held = 0
    for _ in range(20):
        tokens = rng.choice(lengths, 100, replace=False).astype(int)
        table = table_of([[1, 0]] * 100, response_tokens=tokens.tolist())
        cost = next(c for c in forecast(table, plan) if c.name == "select")
        held += cost.tokens.low <= lengths.sum() <= cost.tokens.high
    assert held >= 16  # of 20; 19 expected, standard deviation 1


def test_the_same_seed_gives_the_same_interval():
    lengths = [(37 * i) % 101 for i in range(40)]
    table = table_of([[1, 0]] * 40, response_tokens=lengths)
    plan = Plan(pool=400, chosen=30, passes=1.0, num_rollouts=2, reused=40)
    assert forecast(table, plan, seed=4) == forecast(table, plan, seed=4)
    assert forecast(table, plan, seed=4) != forecast(table, plan, seed=5)
