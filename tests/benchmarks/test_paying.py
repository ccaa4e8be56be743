"""The rules of the map of when choosing pays, against plain computations."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import learnalign

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COUNT = 40


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The benchmark's modules, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("rules", "tables")
    return SimpleNamespace(**{name: import_module(f"paying_{name}") for name in names})


@pytest.fixture
def pool(paying: SimpleNamespace) -> Any:
    rng = np.random.default_rng(0)
    rates = rng.integers(0, 9, COUNT) / 8
    units = rng.normal(size=(COUNT, 6)) + np.eye(6)[np.arange(COUNT) % 3]
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    units[(rates == 0) | (rates == 1)] = 0.0
    alignment = learnalign.scores(rates, units).alignment
    ids = np.array([f"p{i}" for i in range(COUNT)])
    return paying.rules.Scored(
        ids, rates, alignment, [f"kind {i % 3}" for i in range(COUNT)], units
    )


def places(found: list[str]) -> list[int]:
    return [int(name[1:]) for name in found]


def test_one_group_has_the_pools_alignment(paying: SimpleNamespace, pool: Any) -> None:
    found = paying.rules.group_alignment(pool, np.zeros(COUNT, dtype=np.int64))
    assert found == pytest.approx(np.nan_to_num(pool.alignment), abs=1e-9)


def test_a_groups_alignment_is_that_of_the_group_alone(paying: SimpleNamespace, pool: Any) -> None:
    groups = np.arange(COUNT) % 3
    found = paying.rules.group_alignment(pool, groups)
    for group in range(3):
        mine = groups == group
        alone = learnalign.scores(pool.rates[mine], pool.units[mine]).alignment
        assert found[mine] == pytest.approx(np.nan_to_num(alone), abs=1e-9)


@pytest.mark.parametrize("rule", ["learnability", "learnalign"])
def test_the_largest_values_are_chosen(paying: SimpleNamespace, pool: Any, rule: str) -> None:
    value = pool.rates * (1 - pool.rates) * (pool.alignment if rule == "learnalign" else 1.0)
    found = value[places(paying.rules.choose(pool, rule, 8, seed=1))]
    assert sorted(found) == sorted(sorted(value)[-8:])


def test_gates_and_signals(paying: SimpleNamespace, pool: Any) -> None:
    signal = set(np.flatnonzero((pool.rates > 0) & (pool.rates < 1)))
    with_pool = {i for i in signal if pool.alignment[i] > 0}
    assert set(places(paying.rules.choose(pool, "signal", 10, seed=1))) <= signal
    assert (
        set(places(paying.rules.choose(pool, "gate", min(8, len(with_pool)), seed=1))) <= with_pool
    )
    first, second = (paying.rules.choose(pool, "signal", 10, seed=seed) for seed in (1, 2))
    assert first != second
    assert first == paying.rules.choose(pool, "signal", 10, seed=1)


def test_per_source_follows_the_signals(paying: SimpleNamespace, pool: Any) -> None:
    signal = np.array([(0 < rate < 1) for rate in pool.rates])
    found = np.array(places(paying.rules.choose(pool, "learnability per source", 12, seed=3))) % 3
    for kind in range(3):
        share = signal[np.arange(COUNT) % 3 == kind].sum() / signal.sum()
        assert abs((found == kind).sum() - 12 * share) < 1.5


def test_half_at_random(paying: SimpleNamespace, pool: Any) -> None:
    found = paying.rules.choose(pool, "learnability and random", 10, seed=5)
    assert len(set(found)) == 10
    assert found[:5] == paying.rules.choose(pool, "learnability and random", 10, seed=5)[:5]
    value = pool.rates * (1 - pool.rates)
    assert sorted(value[places(found[:5])]) == sorted(sorted(value)[-5:])


def test_in_proportion_prefers_large_values(paying: SimpleNamespace, pool: Any) -> None:
    counts = np.zeros(COUNT)
    for seed in range(300):
        counts[places(paying.rules.choose(pool, "learnability in proportion", 1, seed=seed))] += 1
    value = pool.rates * (1 - pool.rates)
    expected = 300 * value / value.sum()
    assert abs(counts - expected).max() < 5 * np.sqrt(expected.max())
    assert counts[value == 0].sum() == 0


def test_spread_is_the_greedy_choice_of_its_formula(paying: SimpleNamespace, pool: Any) -> None:
    value = pool.rates * (1 - pool.rates)

    def objective(chosen: list[int]) -> float:
        return sum(
            np.sqrt(sum(value[i] * value[j] * max(0.0, pool.units[i] @ pool.units[j])
                        for i in chosen))
            for j in range(COUNT)
        )  # fmt: skip

    chosen: list[int] = []
    for _ in range(5):
        rest = [i for i in range(COUNT) if i not in chosen]
        chosen.append(max(rest, key=lambda i: objective([*chosen, i])))
    found = paying.rules.spread(pool, 5, np.random.default_rng(0)).tolist()
    assert objective(found) == pytest.approx(objective(chosen))


def test_clusters_find_directions(paying: SimpleNamespace) -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(12)
    units = np.repeat(centres, 20, axis=0) + 0.05 * rng.normal(size=(240, 12))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    groups = paying.rules.clusters(units, np.random.default_rng(0))
    pure = [len(set(groups[20 * k : 20 * k + 20])) for k in range(12)]
    assert np.mean(np.array(pure) == 1) > 0.8


def test_gains_are_paired_and_charged(paying: SimpleNamespace) -> None:
    def row(rule: str, seed: int, accuracies: list[float], seconds: list[float]) -> dict[str, Any]:
        stages = {"rollouts": 6.0, "verdicts": 1.0, "gradients": 3.0}
        readings = [
            {"steps": 20 * 2**k, "seconds": s, "accuracy": a}
            for k, (a, s) in enumerate(zip(accuracies, seconds, strict=True))
        ]
        about: dict[str, Any] = {
            "policy": "p",
            "pool": "x",
            "signal": 0.1,
            "noise": 0.0,
            "kind": "none",
            "noise_share": 0.0,
        }
        return about | {
            "rule": rule, "seed": seed, "measured_signal": 0.1, "stage_s": stages,
            "readings": readings,
        }  # fmt: skip

    base = [0.3, 0.32, 0.36, 0.40, 0.44]
    rows = [row("random", s, [a + s / 100 for a in base], [1, 2, 4, 8, 16]) for s in range(3)]
    rows += [row("learnability", s, [0.35, 0.40, 0.46 + s / 100], [1, 2, 4]) for s in range(3)]
    rows += [row("learnalign", s, [0.35, 0.40, 0.46 + s / 100], [1, 2, 4]) for s in range(3)]
    found = {(r["rule"], r["passes"]): r for r in paying.tables.tables(rows)}
    assert found["learnability", 4]["gain"]["mean"] == pytest.approx(0.10)
    # 4 + 7 seconds: 3/8 of the way from 0.40 to 0.44; with gradients 14, 6/8 of it.
    at_equal = found["learnability", 4]["gain at equal seconds"]["mean"]
    assert at_equal == pytest.approx(0.46 - 0.415)
    at_equal = found["learnalign", 4]["gain at equal seconds"]["mean"]
    assert at_equal == pytest.approx(0.46 - 0.43)


def test_across_pools_takes_what_every_rule_was_trained_on(paying: SimpleNamespace) -> None:
    def row(pool: str, seed: int, rule: str, accuracy: float) -> dict[str, Any]:
        return {"pool": pool, "seed": seed, "rule": rule, "noise_share": 0.25,
                "readings": [{"accuracy": accuracy}] * 3}  # fmt: skip

    rows = [row(pool, seed, "random", 0.4) for pool in "ab" for seed in range(3)]
    rows += [row("a", 0, "signal", 0.42), row("b", 0, "signal", 0.44), row("b", 2, "signal", 0.46)]
    rows += [row("a", 0, "gate", 0.39), row("b", 0, "gate", 0.41)]  # not seed 2
    rows += [row("a", 0, "full", 0.5), row("a", 2, "full", 0.5)]  # not pool b
    found = {r["rule"]: r for r in paying.tables.across(rows, ["a", "b"]) if r["passes"] == 4}
    assert set(found) == {"random", "signal", "gate"}
    assert found["signal"]["pairs"] == 2
    assert found["signal"]["gain"]["mean"] == pytest.approx(0.03)
    assert found["signal"]["by pool"] == pytest.approx({"a": 0.02, "b": 0.04})
    assert found["gate"]["gain"]["mean"] == pytest.approx(0.0)
    assert "| signal | +0.030" in paying.tables.across_text(list(found.values()))
