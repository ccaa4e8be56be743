"""The model of agreement against sums over all cases, and its posterior against planted faults."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest

from helpers.audited import problem
from learnalign.auditing.agreement import ALPHA, THETA, Pattern, fitted, likelihoods
from learnalign.auditing.wrong_gold import pattern, wrong_golds


def _restaurant(labels: tuple[int, ...], alpha: float) -> float:
    """The probability of a seating, guest by guest."""
    chance, seen = 1.0, Counter[int]()
    for place, label in enumerate(labels):
        chance *= (seen[label] or alpha) / (place + alpha)
        seen[label] += 1
    return chance


@pytest.mark.parametrize("pattern", [(2, (1, 1)), (0, (3,)), (1, (2, 1)), (4, ())])
def test_likelihoods_are_those_of_the_story(pattern: Pattern) -> None:
    gold, others = pattern
    total = gold + sum(others)
    # The rollouts in some order: 0 is the gold, 1, 2 ... the other answers.
    rollouts = [0] * gold + [i for i, size in enumerate(others, 1) for _ in range(size)]
    for (t, theta), (a, alpha) in itertools.product(enumerate(THETA), enumerate(ALPHA)):
        wrong = tuple(label for label in rollouts if label != 0)
        right = theta**gold * (1 - theta) ** (total - gold) * _restaurant(wrong, alpha)
        by_truth = {}
        for truth in [*range(1, len(others) + 1), -1]:  # -1: no rollout is right
            hits = rollouts.count(truth)
            seated = tuple(label for label in [*rollouts, 0] if label != truth)
            chance = theta**hits * (1 - theta) ** (total - hits)
            by_truth[truth] = chance * _restaurant(seated, alpha)
        one, other, unseen = likelihoods(pattern)
        assert one[t, a] == pytest.approx(right, rel=1e-9)
        assert unseen[t, a] == pytest.approx(by_truth.pop(-1), rel=1e-9)
        assert other[t, a] == pytest.approx(sum(by_truth.values()), rel=1e-9)


def test_a_seating_sums_to_one() -> None:
    # All partitions of four guests, by their restricted growth strings.
    seatings = [
        labels
        for labels in itertools.product(range(4), repeat=4)
        if all(label <= max((-1, *labels[:i])) + 1 for i, label in enumerate(labels))
    ]
    assert len(seatings) == 15
    for a, alpha in enumerate(ALPHA):
        assert math.fsum(_restaurant(labels, alpha) for labels in seatings) == pytest.approx(1.0)
        for labels in seatings:
            sizes = tuple(Counter(labels).values())
            theta_zero = likelihoods((0, sizes))[0][0, a]
            assert theta_zero == pytest.approx(_restaurant(labels, alpha))


def _simulated(rng: random.Random, count: int, wrong: float) -> tuple[list[Pattern], list[bool]]:
    """Problems, eight rollouts each, as in the model's story; which have a wrong gold, and a right
    answer that a rollout gave."""
    patterns, faults = [], []
    for _ in range(count):
        theta, alpha = rng.betavariate(1.2, 1.0), rng.choice([0.5, 2.0, 10.0])
        mistakes: list[str] = []

        def mistake(mistakes: list[str] = mistakes, alpha: float = alpha) -> str:
            if rng.random() < alpha / (alpha + len(mistakes)):
                mistakes.append(str(rng.random()))
            else:
                mistakes.append(rng.choice(mistakes))
            return mistakes[-1]

        answers = ["truth" if rng.random() < theta else mistake() for _ in range(8)]
        fault = rng.random() < wrong
        gold = mistake() if fault else "truth"
        patterns.append(pattern(problem("p", gold, answers)))
        faults.append(fault and "truth" in answers)
    return patterns, faults


def test_the_posterior_is_calibrated() -> None:
    patterns, faults = _simulated(random.Random(0), 6000, 0.08)
    model = fitted(patterns)
    assert model.parameters.epsilon == pytest.approx(0.08, abs=0.015)
    posterior = np.array([model.wrong[seen] for seen in patterns])
    truth = np.array(faults)
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 1.0)):
        inside = (posterior >= low) & (posterior <= high)
        assert inside.sum() > 30
        error = 3 * math.sqrt(0.25 / inside.sum()) + 0.03
        assert truth[inside].mean() == pytest.approx(posterior[inside].mean(), abs=error)


def test_a_weak_model_cannot_doubt() -> None:
    # Everything is wrong, each time otherwise: two rollouts that agree prove nothing.
    pool = [problem(f"p{i}", "7", [str(100 + j) for j in range(8)]) for i in range(200)]
    pool.append(problem("agrees", "7", ["1", "1", *map(str, range(20, 26))]))
    assert wrong_golds(pool) == []


@pytest.mark.parametrize("seed", range(5))
def test_common_mistakes_of_a_weak_model_are_not_the_truth(seed: int) -> None:
    # Half of its wrong answers are the mistake that people make too, and no gold is wrong.
    rng = random.Random(seed)
    pool = []
    for i in range(1500):
        theta = rng.betavariate(0.6, 2.4)
        answers = []
        for _ in range(8):
            mistake = rng.choice(["common", "common", "rare", str(rng.randint(1, 400))])
            answers.append("truth" if rng.random() < theta else mistake)
        pool.append(problem(f"p{i}", "truth", answers))
    assert len(wrong_golds(pool)) <= 15
    assert fitted([pattern(each) for each in pool]).parameters.epsilon < 0.2


def test_planted_wrong_golds_come_first() -> None:
    rng = random.Random(1)
    pool = []
    for i in range(400):
        wrong = i < 20
        theta = 0.95 if wrong else rng.betavariate(2, 1)
        truth = str(1000 + i)
        answers = [truth if rng.random() < theta else str(rng.randint(1, 99)) for _ in range(8)]
        pool.append(problem(f"p{i}", str(5000 + i) if wrong else truth, answers))
    found = sorted(wrong_golds(pool), key=lambda finding: -finding.score)
    assert {finding.problem_id for finding in found[:20]} == {f"p{i}" for i in range(20)}


def test_few_possible_answers_are_compared_with_each_other_alone() -> None:
    # The model guesses yes or no: its agreement against the gold is chance.
    rng = random.Random(2)
    pool = [problem(f"n{i}", str(i), [str(i)] * 8) for i in range(300)]
    for i in range(100):
        favourite = rng.choice(["yes", "no"])
        answers = [favourite if rng.random() < 0.9 else "no" for _ in range(8)]
        pool.append(problem(f"q{i}", rng.choice(["yes", "no"]), answers))
    assert len([f for f in wrong_golds(pool) if f.problem_id.startswith("q")]) <= 5
