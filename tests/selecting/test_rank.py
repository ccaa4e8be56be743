"""Every method through `rank`, against its formula written out problem by problem."""

import math
import statistics

import numpy as np
import pyarrow as pa
import pytest

from learnalign.config import SelectionConfig
from learnalign.errors import LearnAlignError
from learnalign.selecting.methods.registry import METHODS
from learnalign.selecting.order import random_keys
from learnalign.selecting.rank import rank
from learnalign.selecting.statistics.success_rates import group_reward_stats
from learnalign.storage.sketch_column import from_bytes
from learnalign.tables import PROBLEMS, ROLLOUTS, VERDICTS, features_schema, gradients_schema

COUNT, GROUP, SIZE, K = 30, 8, 16, 7


class Pool:
    """Thirty problems with tables of every kind, some without signal, some with nulls."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.ids = [f"p{i:02d}" for i in range(COUNT)]
        self.correct = {n: int(rng.integers(0, GROUP + 1)) for n in self.ids}
        self.correct |= {"p00": 0, "p01": GROUP}
        direction = rng.normal(size=SIZE)
        gradients, features = [], []
        for i, name in enumerate(self.ids):
            row = {"problem_id": name, "status": "no_signal", "gradient_norm": 0.0}
            if 0 < self.correct[name] < GROUP:
                sketch = (rng.normal(size=SIZE) + 0.3 * i / COUNT * direction).astype(np.float16)
                norm = float(rng.uniform(0.1, 3))
                row |= {"status": "ok", "gradient_norm": norm, "sketch": sketch.tobytes()}
            gradients.append(row)
            hidden = (rng.normal(size=SIZE) + direction).astype(np.float16)
            features.append({
                "problem_id": name, "num_prompt_tokens": int(rng.integers(5, 400)),
                "prompt_nll": None if i == 2 else float(rng.uniform(0, 5)),
                "answer_nll": None if i == 3 else float(rng.uniform(0, 5)),
                "answer_alone_nll": None if i == 4 else float(rng.uniform(0, 5)),
                "rating": None if i == 5 else float(rng.uniform(0, 5)),
                "hidden": hidden.tobytes(),
            })  # fmt: skip
        self.gradients = pa.Table.from_pylist(gradients, gradients_schema(SIZE))
        self.features = pa.Table.from_pylist(features, features_schema(SIZE))
        self.history = rng.uniform(size=(COUNT, 5))
        rollouts = [
            {"problem_id": n, "sample": g, "token_ids": [1] * (g + 1), "finish_reason": "stop"}
            for n in self.ids
            for g in range(GROUP)
        ]
        verdicts = [
            {"problem_id": n, "sample": g, "verdict": "correct" if right else "wrong",
             "reward": float(right)}
            for n in self.ids for g in range(GROUP) for right in [g < self.correct[n]]
        ]  # fmt: skip
        self.verdicts = pa.Table.from_pylist(verdicts, VERDICTS)
        self.reward_stats = group_reward_stats(
            [pa.Table.from_pylist(rollouts, ROLLOUTS)], [self.verdicts]
        )
        labels = [{"problem_id": n, "position": i} for i, n in enumerate(self.ids)]
        self.labels = pa.Table.from_pylist(labels, PROBLEMS)

    def rank(self, method: str, **given):
        def reads(table):
            return lambda columns: table.select(columns).to_batches(max_chunksize=4)

        tables = {
            "gradients": reads(self.gradients),
            "features": reads(self.features),
            "history": self.history,
        }
        config = SelectionConfig(
            method=method,
            budget=K,
            num_bootstrap=given.pop("bootstrap", 0),
            per_source=given.pop("per_source", False),
        )
        return rank(
            self.reward_stats, self.labels, lambda: [self.verdicts], config, **tables | given
        )

    def chosen(self, method: str, **given) -> list[str]:
        table = self.rank(method, **given).scores
        return table.filter(table["selected"])["problem_id"].to_pylist()

    # The formulas' parts, one number at a time.
    def v(self, name: str) -> float:
        p = self.correct[name] / GROUP
        return p * (1 - p)

    def rows(self, table: pa.Table, column: str) -> dict[str, np.ndarray]:
        return {
            row["problem_id"]: from_bytes(row[column]).astype(float)
            for row in table.to_pylist()
            if row[column] is not None
        }

    def best(self, scores: dict[str, float]) -> list[str]:
        ties = dict(zip(self.ids, random_keys(self.ids, 0), strict=True))
        return sorted(scores, key=lambda n: (-scores[n], -ties[n]))[:K]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool()


@pytest.mark.parametrize("targeted", [False, True])
def test_gradient_methods(pool, targeted):
    rows = pool.rows(pool.gradients, "sketch")
    target = frozenset([*list(rows)[3:7], "p00"]) if targeted else None
    norms = {r["problem_id"]: r["gradient_norm"] for r in pool.gradients.to_pylist()}
    others = [n for n in pool.ids if target is None or n in target]
    live = [n for n in others if n in rows]

    def mean(values):
        return sum(values) / len(others)

    formulas = {
        "learnalign": lambda i: mean(
            pool.v(i) * pool.v(j) * cosine(rows[i], rows[j]) for j in live
        ),
        "alignment": lambda i: mean(cosine(rows[i], rows[j]) for j in live),
        "inner_product": lambda i: mean(
            norms[i] * norms[j] * cosine(rows[i], rows[j]) for j in live
        ),
    }
    for method, formula in formulas.items():
        scores = {n: formula(n) for n in rows}
        assert pool.chosen(method, target=target) == pool.best(scores), method


def test_gradalign_is_the_cosine_to_the_mean_gradient_of_a_validation_set(pool):
    rows = pool.rows(pool.gradients, "sketch")
    target = frozenset([*list(rows)[2:5], "p01"])
    norms = {r["problem_id"]: r["gradient_norm"] for r in pool.gradients.to_pylist()}
    whole = {n: norms[n] * r / math.sqrt(r @ r) for n, r in rows.items()}
    mean = sum(whole[n] for n in target if n in whole)
    scores = {n: cosine(row, mean) for n, row in whole.items()}
    assert pool.chosen("gradalign", target=target) == pool.best(scores)
    with pytest.raises(LearnAlignError, match="needs target problems to align to"):
        pool.chosen("gradalign")
    with pytest.raises(LearnAlignError, match="nothing to align to"):
        pool.chosen("gradalign", target=frozenset({"p00", "p01"}))


def test_features_put_hidden_states_in_place_of_gradients(pool):
    rows = pool.rows(pool.features, "hidden")
    scores = {
        i: sum(pool.v(i) * pool.v(j) * cosine(rows[i], rows[j]) for j in pool.ids) for i in pool.ids
    }
    assert pool.chosen("features") == pool.best(scores)


def test_text_methods(pool):
    known = pool.features.to_pylist()

    def values(column):
        return {r["problem_id"]: r[column] for r in known if r[column] is not None}

    assert pool.chosen("token_length") == pool.best(values("num_prompt_tokens"))
    assert pool.chosen("perplexity_top") == pool.best(values("prompt_nll"))
    assert pool.chosen("selectit") == pool.best(values("rating"))
    after, alone = values("answer_nll"), values("answer_alone_nll")
    ratios = {n: after[n] / alone[n] for n in after if n in alone}
    below = {n: ratio for n, ratio in ratios.items() if ratio < 1}
    assert K < len(below) < len(ratios)
    assert pool.chosen("ifd") == pool.best(below)
    losses = values("prompt_nll")
    order = sorted(losses, key=losses.get)
    middle = (len(order) - 1) / 2
    distances = {n: -abs(place - middle) for place, n in enumerate(order)}
    assert set(pool.chosen("perplexity_middle")) == set(pool.best(distances))
    assert statistics.median(losses.values()) == pytest.approx(
        statistics.median(losses[n] for n in pool.chosen("perplexity_middle")), abs=0.4
    )


def test_history_methods(pool):
    spread = {n: statistics.pvariance(row) for n, row in zip(pool.ids, pool.history, strict=True)}
    assert pool.chosen("history_variance") == pool.best(spread)
    means = pool.history.mean(axis=0)
    bottom = sum((1 - m) ** 2 for m in means)
    near = {
        n: 1 - sum((r - m) ** 2 for r, m in zip(row, means, strict=True)) / bottom
        for n, row in zip(pool.ids, pool.history, strict=True)
    }
    assert pool.chosen("limr") == pool.best(near)


def test_diverse_and_facility_location_against_slow_greedy(pool):
    rows = pool.rows(pool.gradients, "sketch")
    names = list(rows)
    z = {n: pool.v(n) * rows[n] / math.sqrt(rows[n] @ rows[n]) for n in names}
    score = {i: sum(float(z[i] @ z[j]) for j in names) / COUNT for i in names}
    top = max(score.values())
    chosen: list[str] = []
    while len(chosen) < K:
        gain = {
            i: score[i] / top - 0.5 * max([0.0, *(cosine(z[i], z[j]) for j in chosen)])
            for i in names
            if i not in chosen
        }
        chosen.append(max(gain, key=gain.get))
    assert pool.chosen("diverse") == chosen

    def covered(some):
        return sum(max([0.0, *(float(z[i] @ z[j]) for i in some)]) for j in names)

    chosen = []
    while len(chosen) < K:
        gain = {i: covered([*chosen, i]) for i in names if i not in chosen}
        chosen.append(max(gain, key=gain.get))
    assert pool.chosen("facility_location") == chosen


def test_per_source_takes_the_best_of_each():
    pool = Pool()
    labels = [{"problem_id": n, "source": "xyz"[i % 3]} for i, n in enumerate(pool.ids)]
    pool.labels = pa.Table.from_pylist(labels, PROBLEMS)
    plain = pool.rank("learnalign").scores["problem_id"].to_pylist()
    chosen = pool.chosen("learnalign", per_source=True)
    source = {row["problem_id"]: row["source"] for row in labels}
    for name in "xyz":
        live = [n for n in plain if source[n] == name and pool.v(n) > 0]
        mine = [n for n in chosen if source[n] == name]
        assert mine == live[: len(mine)]
        share = sum(pool.v(n) > 0 for n in live) / sum(pool.v(n) > 0 for n in pool.ids)
        assert abs(len(mine) - share * K) < 1.5


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"gradalign"}))
def test_every_method_chooses_k_and_tells_its_stability(pool, method):
    found = pool.rank(method, bootstrap=20)
    assert found.scores["selected"].to_pylist() == [True] * K + [False] * (COUNT - K)
    assert found.summary["method"] == method
    pairs = method in ("diverse", "facility_location")
    assert (found.summary["stability"] is None) == pairs
    if not pairs and "rewards" not in METHODS[method].requires:
        # Nothing that it looks at changes with the rollouts.
        assert found.summary["stability"]["expected_overlap"] == 1.0


@pytest.mark.parametrize(
    ("method", "missing", "words"),
    [
        ("learnalign", "gradients", "learnalign gradients RUN"),
        ("features", "features", "--methods features"),
        ("limr", "history", "--history TRAINING"),
    ],
)
def test_what_a_method_lacks_is_named(pool, method, missing, words):
    with pytest.raises(LearnAlignError, match=words):
        pool.rank(method, **{missing: None})


def test_selectit_without_ratings_says_so(pool):
    other = Pool()
    place = other.features.schema.get_field_index("rating")
    nothing = pa.nulls(COUNT, pa.float64())
    other.features = other.features.set_column(place, "rating", nothing)
    with pytest.raises(LearnAlignError, match="no problem has a rating"):
        other.chosen("selectit")


def test_text_methods_work_without_any_signal():
    pool = Pool()
    pool.correct = dict.fromkeys(pool.ids, 0)
    rewards = pa.array([0.0] * pool.verdicts.num_rows)
    pool.verdicts = pool.verdicts.set_column(3, "reward", rewards)
    rollouts = pool.verdicts.select(["problem_id", "sample"]).to_pylist()
    made = pa.Table.from_pylist([r | {"token_ids": [1]} for r in rollouts], ROLLOUTS)
    pool.reward_stats = group_reward_stats([made], [pool.verdicts])
    assert len(pool.chosen("token_length")) == K
    with pytest.raises(LearnAlignError, match="no problem carries a signal"):
        pool.chosen("learnability")
