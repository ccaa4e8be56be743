"""What is observed of a problem counts for those like it: model, features, curriculum."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from learnalign.curriculum.learnalign import LearnAlign
from learnalign.curriculum.success_model import SuccessModel
from learnalign.curriculum.text_features import text_features
from learnalign.errors import LearnAlignError


def test_one_group_moves_the_model_to_near_the_posterior_mode() -> None:
    """Against the exact maximum of log prior + log likelihood."""
    model = SuccessModel(np.array([[0.6, 0.8]]), weight=8.0)
    model.update(np.array([0]), np.array([3.0]), np.array([8.0]))
    x = np.array([0.6, 0.8, 1.0])

    def loss(w: np.ndarray) -> float:
        return float(w @ w / (2 * 4.0) - 3 * x @ w + 8 * np.logaddexp(0, x @ w))

    assert x @ model.mean == pytest.approx(x @ optimize.minimize(loss, np.zeros(3)).x, abs=0.02)


def test_the_covariance_is_the_information_form() -> None:
    """S^-1 = S0^-1 + w e (1 - e) x x', with the curvature where the step began."""
    model = SuccessModel(np.array([[0.6, 0.8]]), weight=2.0)
    before = np.linalg.inv(model.covariance)
    model.update(np.array([0]), np.array([8.0]), np.array([8.0]))
    x = np.array([0.6, 0.8, 1.0])
    expected = before + 2 * 0.25 * np.outer(x, x)
    assert np.linalg.inv(model.covariance) == pytest.approx(expected, rel=1e-5)


def test_a_group_without_rollouts_teaches_nothing() -> None:
    model = SuccessModel(np.eye(2))
    mean = model.mean.copy()
    model.update(np.array([0]), np.array([0.0]), np.array([0.0]))
    assert (model.mean == mean).all()


def test_it_predicts_problems_that_were_never_seen() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 8)) / np.sqrt(8)
    truth = 1 / (1 + np.exp(-3 * features @ rng.normal(size=8) + 1))
    model = SuccessModel(features)
    seen = np.arange(400)
    model.update(seen, rng.binomial(8, truth[seen]).astype(float), np.full(400, 8.0))
    assert stats.spearmanr(model.predict()[400:], truth[400:]).statistic > 0.9
    assert abs(model.predict()[400:].mean() - truth[400:].mean()) < 0.05
    assert (model.predict(np.array([7, 3])) == model.predict()[[7, 3]]).all()


def test_features_are_checked() -> None:
    with pytest.raises(LearnAlignError, match=r"features of shape \(3,\)"):
        SuccessModel(np.zeros(3))
    with pytest.raises(LearnAlignError, match="finite"):
        SuccessModel(np.array([[np.nan]]))
    with pytest.raises(LearnAlignError, match="features of 2 problems"):
        LearnAlign(3, features=np.eye(2))


def test_texts_that_differ_in_digits_are_alike() -> None:
    texts = ["What is 12 + 34?", "What is 98 + 76?", "What is 123 + 4567?", "Name a prime.", ""]
    found = text_features(texts, size=4096)
    alike = found[:, :-1] @ found[:, :-1].T
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert 0.1 < alike[0, 2] < 0.9
    assert alike[0, 3] < alike[0, 2]
    assert np.linalg.norm(found[:4, :-1], axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert (found[4, :-1] == 0).all()


def test_words_in_every_text_say_nothing() -> None:
    """A template around each problem leaves the similarities as they are."""
    texts = [f"{a} {b}" for a in ("red", "green", "blue") for b in ("fox", "hen", "owl")]
    plain = text_features(texts, size=4096)[:, :-1]
    alike = plain @ plain.T
    assert alike[0, 1] > alike[0, 4] + 0.2  # a shared word; none
    framed = text_features([f"Solve: {text} ." for text in texts], size=4096)[:, :-1]
    assert (framed @ framed.T)[0, 1] > (framed @ framed.T)[0, 4] + 0.1


def test_sources_are_told_apart() -> None:
    """Of two data sets one is easy, whatever the words; unseen problems are predicted by theirs."""
    rng = np.random.default_rng(0)
    words = np.array(["sum", "cat", "root", "tree", "angle", "price", "speed", "prime"])
    texts = [" ".join(rng.choice(words, 5)) for _ in range(600)]
    easy = rng.random(600) < 0.5
    sources = ["a" if e else "b" for e in easy]
    model = SuccessModel(text_features(texts, sources=sources))
    seen = np.arange(300)
    right = rng.binomial(8, np.where(easy, 0.9, 0.05))
    model.update(seen, right[seen].astype(float), np.full(300, 8.0))
    predicted = model.predict()[300:]
    assert predicted[easy[300:]].mean() > 0.8
    assert predicted[~easy[300:]].mean() < 0.15
    assert text_features(texts, sources=["a"] * 600).shape == (600, 65)


def test_the_scale_of_features_does_not_matter() -> None:
    features = np.random.default_rng(0).normal(size=(50, 6))
    models = [SuccessModel(features * scale) for scale in (1.0, 100.0)]
    for model in models:
        model.update(np.arange(20), np.arange(20) % 9.0, np.full(20, 8.0))
    assert models[0].predict() == pytest.approx(models[1].predict(), rel=1e-4)


def test_variances_do_not_outgrow_the_priors() -> None:
    model = SuccessModel(np.eye(3))
    for _ in range(20_000):
        model.drift()
    assert np.diag(model.covariance).max() == pytest.approx(4.0, abs=0.01)


def test_texts_that_are_all_equal_have_nothing_to_tell() -> None:
    for texts in (["What is 1 + 2?"], ["the same"] * 3):
        assert (text_features(texts) == 0).all()
    found = text_features(["", "some words", "others"])
    assert (found[0, :-1] == 0).all()
    assert found[0, -1] < 0  # shorter than the mean


def test_no_texts_are_no_rows() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_features([], size=8).shape == (0, 9)


def test_a_lone_surrogate_is_a_character() -> None:
    found = text_features(["a broken \ud83d emoji", "a broken emoji", "something else"], size=4096)
    assert np.isfinite(found).all()
    alike = found[:, :-1] @ found[:, :-1].T
    assert alike[0, 2] < alike[0, 1] < 0.99


@pytest.mark.parametrize(
    ("texts", "more", "message"),
    [
        (["a", None], {}, "None as text 1"),
        ([[{"role": "user", "content": "a"}]], {}, "as text 0"),
        ("one text", {}, "got one text"),
        (["a"], {"size": 0}, "size = 0"),
        (["a"], {"size": 2.5}, "size = 2.5"),
        (["a", "b"], {"sources": ["x"]}, "1 sources of 2 texts"),
    ],
)
def test_texts_are_checked(texts: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(LearnAlignError, match=message):
        text_features(texts, **more)


@pytest.mark.parametrize(
    "texts",
    [
        ("求三角形的面积和周长", "求正方形的面积和周长", "证明素数有无穷多个"),
        ("三角形の面積を求めよ", "正方形の面積を求めなさい", "ソスウは無限にあると示す"),
        ("ｻﾝｶｸｹｲﾉﾒﾝｾｷ", "ｾｲﾎｳｹｲﾉﾒﾝｾｷ", "素数を全部数える"),
    ],
)
def test_chinese_and_japanese_have_a_word_per_character(texts: tuple[str, str, str]) -> None:
    """Without spaces a phrase would be one word, shared by no other problem."""
    found = text_features([*texts, "", "Name a prime."], size=2048)[:, :-1]
    alike = found @ found.T
    assert alike[0, 1] > 0.3 > 0.15 > alike[0, 2]


def test_words_next_to_chinese_are_whole() -> None:
    texts = ["解方程 sqrt", "解方程sqrt", "求sqrt的值", "求tqrs的值", *"abcdefgh"]
    found = text_features(texts, size=2048)[:, :-1]
    alike = found @ found.T
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert alike[1, 2] > alike[1, 3] + 0.05


def test_a_new_problem_is_expected_to_be_like_its_kind() -> None:
    """Two kinds, one of which is never solved: unseen problems of the other are chosen."""
    rng = np.random.default_rng(1)
    features = np.repeat(np.eye(2), 500, axis=0)
    truth = np.repeat([0.0, 0.5], 500)
    curriculum = LearnAlign(1000, features=features, seed=2)
    plain = LearnAlign(1000, seed=2)
    shares = []
    for each in (curriculum, plain):
        with_signal = 0
        for step in range(40):
            batch = each.next_batch(16)
            right = rng.binomial(8, truth[batch])
            each.observe(batch, right, 8)
            with_signal += int(((right > 0) & (right < 8)).sum()) if step >= 20 else 0
        shares.append(with_signal / 320)
    assert shares[0] > 0.8
    assert shares[0] > shares[1] + 0.1
    unseen = curriculum.times_observed == 0
    assert curriculum.estimates()[:500][unseen[:500]].max() < 0.1


def test_the_model_is_part_of_the_state() -> None:
    features = np.random.default_rng(0).normal(size=(30, 4))
    one, other = (LearnAlign(30, features=features, seed=1) for _ in range(2))
    for _ in range(5):
        batch = one.next_batch(6)
        one.observe(batch, batch % 9, 8)
    other.load_state_dict(json.loads(json.dumps(one.state_dict(), allow_nan=False)))
    for _ in range(5):
        batch = one.next_batch(6)
        assert (other.next_batch(6) == batch).all()
        for each in (one, other):
            each.observe(batch, batch % 9, 8)
