"""The tables of the curricula's trainings against figures by hand; the pools' shares of noise."""

import json
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("tables", "pools")
    return SimpleNamespace(**{name: import_module(f"curriculum_{name}") for name in names})


def cell(method: str, seed: int, readings: list[tuple[int, float, float]], **noise: int) -> Any:
    rows = [{"rollouts": r, "seconds": s, "accuracy": a} for r, s, a in readings]
    trained = {"noise": {"none": 6} | noise}
    return {"pool": "p", "method": method, "seed": seed, "readings": rows, "signal": 0.5,
            "coverage": 1.0, "trained": trained}  # fmt: skip


def test_differences_by_hand(modules: SimpleNamespace) -> None:
    """The second method goes beyond the rollouts, and is slower."""
    cells = [
        cell("order", 0, [(50, 10, 0.2), (100, 20, 0.4)]),
        cell("order", 1, [(50, 10, 0.2), (100, 20, 0.3)]),
        cell("greso", 0, [(60, 15, 0.3), (140, 35, 0.7)], coin=2, guess=4),
        cell("greso", 1, [(60, 15, 0.3), (140, 35, 0.5)]),
        cell("greso", 2, [(60, 15, 0.3), (140, 35, 0.6)]),  # has no partner
    ]
    (table,) = modules.tables.tables(cells, ["p", "other"], ["order", "greso", "mapp"])
    order, greso = table["rows"]
    # At 100 rollouts, half of the way from the first reading to the last: 0.5 and 0.4.
    assert greso["to order, equal rollouts"]["values"] == pytest.approx([0.1, 0.1])
    assert greso["accuracy"] == pytest.approx((0.5 + 0.4 + 0.45) / 3)
    # At 20 seconds, a quarter of the way: 0.4 and 0.35.
    assert greso["equal seconds"]["values"] == pytest.approx([0.0, 0.05])
    assert greso["coins and guesses"] == pytest.approx(0.5 / 3)
    assert order["to order, equal rollouts"]["high"] == 0.0
    # Its mean curve is at 0.35, where order ends, after 60 + 80 / 6 of 100 rollouts.
    assert greso["rollouts to order's accuracy"] == pytest.approx(0.73, abs=0.011)
    assert (order["seeds"], greso["seeds"]) == (2, 3)


def test_a_pool_has_the_noise_that_was_asked_for(modules: SimpleNamespace, tmp_path: Path) -> None:
    pools = modules.pools
    pools.write(tmp_path, pools.Pool(120, mislabelled=0.05, coins=0.1, guesses=0.1), seed=3)
    rows = [json.loads(line) for line in (tmp_path / "pool.jsonl").read_text().splitlines()]
    assert Counter(row["noise"] for row in rows) == {
        "none": 90, "coin": 12, "guess": 12, "mislabelled": 6,
    }  # fmt: skip
    test = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert len(test) == pools.NUM_TEST
    assert {row["noise"] for row in test} == {"none"}
    assert not {row["question"] for row in rows} & {row["question"] for row in test}
    assert "source" not in rows[0]  # a curriculum would be given the kind
    pools.write(tmp_path, pools.Pool(200, hard=0.7), seed=3)
    rows = [json.loads(line) for line in (tmp_path / "pool.jsonl").read_text().splitlines()]
    assert sum(row["kind"] in pools.HARD for row in rows) == 140


def test_a_coin_is_tossed_anew_at_every_step(modules: SimpleNamespace) -> None:
    def rewards(step: int) -> list[float]:
        columns = {"id": ["a"] * 64, "answer": ["1"] * 64, "noise": ["coin"] * 64}
        state = SimpleNamespace(global_step=step)
        return modules.pools.reward(["1"] * 64, **columns, trainer_state=state)

    assert rewards(1) == rewards(1)
    assert rewards(1) != rewards(2)
    assert 16 < sum(rewards(1)) < 48
