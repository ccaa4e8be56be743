"""Noise is left out by its gradients: the mixture, the chances, the curriculum."""

import json

import numpy as np
import pytest
from scipy import stats

from learnalign.curriculum.agreement import Agreement
from learnalign.curriculum.learnalign import LearnAlign


def sketch(rng: np.random.Generator, directions: np.ndarray, strength: float) -> np.ndarray:
    """Return noisy sketches; two of a problem have a cosine of about s^2 / (1 + s^2)."""
    noise = rng.normal(size=directions.shape) / np.sqrt(directions.shape[1])
    return strength * directions + noise


def directions(rng: np.random.Generator, count: int, size: int = 128) -> np.ndarray:
    found = rng.normal(size=(count, size))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def watched(num_noise: int, num_signal: int, *, visits: int) -> Agreement:
    rng = np.random.default_rng(0)
    agreement = Agreement(num_noise + num_signal)
    own = directions(rng, num_noise + num_signal)
    own[:num_noise] = 0.0
    for _ in range(visits):
        agreement.observe(np.arange(len(own)), sketch(rng, own, 1.5))
    return agreement


def test_the_mixture_is_found() -> None:
    """A fifth is noise; cosines of the others are about 1.5^2 / (1 + 1.5^2) = 0.69."""
    agreement = watched(40, 160, visits=8)
    assert agreement.share == pytest.approx(0.2, abs=0.02)
    assert agreement.mean == pytest.approx(2.25 / 3.25, abs=0.02)
    assert agreement.noise_deviation == pytest.approx(1 / np.sqrt(128), rel=0.15)


def test_the_chances_are_bayes_formula() -> None:
    """By scipy's normal densities; one cosine changes the odds by e^3 at most."""
    rng = np.random.default_rng(1)
    agreement = Agreement(60)
    own = directions(rng, 60)
    own[:20] = 0.0
    cosines: list[np.ndarray] = []
    last = None
    for _ in range(3):
        rows = sketch(rng, own, 0.4)  # so weak that chances are between 0 and 1
        agreement.observe(np.arange(60), rows)
        unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
        unit = unit.astype(np.float64)
        if last is not None:
            cosines.append((unit * last).sum(axis=1))
        last = unit
    seen = np.minimum(np.stack(cosines), agreement.mean)
    odds = stats.norm.logpdf(seen, agreement.mean, agreement.deviation)
    odds = np.clip(odds - stats.norm.logpdf(seen, 0, agreement.noise_deviation), -3, 3).sum(axis=0)
    noise, signal = agreement.share, (1 - agreement.share) * np.exp(odds)
    expected = signal / (signal + noise)
    assert agreement.posterior() == pytest.approx(expected, abs=1e-5)
    relative = np.minimum(1.0, expected / (1 - agreement.share))
    assert agreement.weights() == pytest.approx(relative, abs=1e-5)
    assert agreement.weights()[20:].mean() > agreement.weights()[:20].mean()


def test_nothing_is_doubted_without_evidence() -> None:
    agreement = Agreement(200)
    rng = np.random.default_rng(0)
    agreement.observe(np.arange(100), rng.normal(size=(100, 256)))
    assert (agreement.weights() == 1).all()  # no cosine yet
    agreement.observe(np.arange(20), rng.normal(size=(20, 256)))
    assert (agreement.weights() == 1).all()  # too few
    agreement.observe(np.arange(40), np.zeros((40, 256)))  # no gradient, no cosine
    assert (agreement.weights() == 1).all()
    for _ in range(4):  # noise alone: there is nothing to compare it with
        agreement.observe(np.arange(40), rng.normal(size=(40, 256)))
    assert (agreement.weights() == 1).all()
    own = directions(rng, 100, 256)
    agreement.observe(np.arange(60, 160), own)
    agreement.observe(np.arange(60, 160), own)
    agreement.observe(np.arange(40), rng.normal(size=(40, 256)))
    assert (agreement.weights()[160:] == 1).all()
    assert (agreement.weights()[:40] < 0.5).mean() > 0.9
    assert (agreement.weights()[100:160] > 0.99).all()


def test_noise_alone_is_not_doubted_for_long() -> None:
    """By chance more cosines are positive now and then; later ones take the doubts back."""
    rng = np.random.default_rng(5)
    agreement = Agreement(40)
    fitted = 0
    for _ in range(400):
        agreement.observe(rng.permutation(40)[:8], rng.normal(size=(8, 64)))
        fitted += agreement.fitted
    assert fitted < 40


def test_a_pool_without_noise_is_hardly_doubted() -> None:
    agreement = watched(0, 200, visits=6)
    assert agreement.share < 0.02
    assert np.mean(agreement.weights() > 0.9) > 0.98


def test_coins_are_left_out() -> None:
    """A third of the problems with a signal are coins, which never stop having one."""
    shares = []
    for gradients in (True, False):
        rng = np.random.default_rng(3)
        own = directions(rng, 120)
        own[:20] = 0.0
        rates = np.concatenate([np.full(20, 0.5), np.full(40, 0.5), np.zeros(60)])
        curriculum = LearnAlign(120, gradients=gradients, seed=4)
        assert curriculum.uses_gradients == gradients
        coins = trained = 0
        for step in range(60):
            batch = curriculum.next_batch(8)
            right = rng.binomial(8, rates[batch])
            curriculum.observe(batch, right, 8)
            signal = batch[(right > 0) & (right < 8)]
            if gradients:
                curriculum.observe_gradients(signal, sketch(rng, own[signal], 1.5))
            if step >= 30:
                coins, trained = coins + int((signal < 20).sum()), trained + len(signal)
        shares.append(coins / trained)
    assert shares[0] < 0.08
    assert shares[1] > 0.25


def test_the_agreement_is_part_of_the_state() -> None:
    rng = np.random.default_rng(0)
    one, other = LearnAlign(30, seed=1), LearnAlign(30, seed=1)
    for _ in range(12):
        batch = one.next_batch(6)
        one.observe(batch, batch % 9, 8)
        one.observe_gradients(batch, 0.8 + rng.normal(size=(6, 4)))
    other.load_state_dict(json.loads(json.dumps(one.state_dict(), allow_nan=False)))
    assert (other.agreement.weights() == one.agreement.weights()).all()
    assert (one.agreement.weights() < 1).any()
    for _ in range(5):
        batch, sketches = one.next_batch(6), 0.8 + rng.normal(size=(6, 4))
        assert (other.next_batch(6) == batch).all()
        for each in (one, other):
            each.observe(batch, batch % 9, 8)
            each.observe_gradients(batch, sketches)
    assert (other.agreement.weights() == one.agreement.weights()).all()
