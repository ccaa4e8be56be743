"""Components, maps and neighbours, compared with numpy's decompositions and plain loops."""

import numpy as np
import pytest

from learnalign.errors import LearnAlignError
from learnalign.exploring import neighbours as module
from learnalign.exploring.clusters import clusters, telling_words
from learnalign.exploring.neighbours import neighbours
from learnalign.exploring.projections import fitted, principal_components, turned, umap


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_components_are_those_of_a_full_decomposition() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 80)) * np.geomspace(10, 0.1, 80)).astype(np.float32)
    found = principal_components(rows, 5)
    centred = rows - rows.mean(axis=0)
    vectors, lengths, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    expected = vectors[:, :5] * lengths[:5]
    cosines = np.abs((found * expected).sum(axis=0)) / lengths[:5] ** 2
    assert np.allclose(cosines, 1.0, atol=1e-3)
    assert (found[np.abs(found).argmax(axis=0), np.arange(5)] > 0).all()


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (3, 1), (2, 2)])
def test_few_rows_have_components_too(shape: tuple[int, int]) -> None:
    found = principal_components(np.ones(shape, np.float32), 3)
    assert found.shape == (shape[0], 3)
    assert np.isfinite(found).all()


def test_a_map_fills_the_square_whatever_its_scale() -> None:
    points = np.random.default_rng(1).normal(size=(1000, 2)).astype(np.float32) * 1e-6 + 5.0
    assert 0.97 <= (np.abs(fitted(points)) <= 1.0).all(axis=1).mean() <= 1.0
    assert np.isfinite(fitted(np.zeros((4, 2), np.float32))).all()


def test_a_turned_and_mirrored_map_is_turned_back() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(size=(50, 2)).astype(np.float32)
    other = (one @ np.array([[0, 1], [1, 0]])).astype(np.float32)
    assert np.allclose(turned(other, one, np.ones(50, bool)), one, atol=1e-5)


@pytest.mark.parametrize(("exact", "group"), [(12_000, 32), (12_000, 4), (12_000, 7), (10, 32)])
def test_neighbours_are_those_of_all_pairs(
    exact: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EXACT", exact)
    monkeypatch.setattr(module, "_GROUP", group)
    monkeypatch.setattr(module, "_BLOCK", 500)
    rng = np.random.default_rng(3)
    rows = unit(rng.normal(size=(60, 6)) @ rng.normal(size=(6, 400)))
    known = rng.random(60) < 0.9
    rows[~known] = 0.0
    found = neighbours(rows, known)
    cosines = (rows @ rows.T).astype(np.float64)
    for i in range(60):
        if not known[i]:
            assert (found.nearest[i] == -1).all()
            assert np.isnan(found.opposed_cosine[i]).all()
            continue
        others = [j for j in range(60) if known[j] and j != i]
        near = sorted(others, key=lambda j: -cosines[i, j])[:5]
        far = [j for j in sorted(others, key=lambda j: cosines[i, j])[:5] if cosines[i, j] < 0]
        assert np.allclose(found.nearest_cosine[i], cosines[i, near], atol=1e-5)
        assert found.opposed[i][: len(far)].tolist() == far
        assert (found.opposed[i][len(far) :] == -1).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_tiny_pool_has_few_neighbours(count: int) -> None:
    found = neighbours(np.eye(3, dtype=np.float32)[:count], np.ones(count, bool))
    assert found.nearest.shape == (count, 5)


def test_groups_are_those_that_were_made() -> None:
    rng = np.random.default_rng(4)
    made = np.repeat([0, 1, 2], [90, 60, 30])
    points = np.array([[0, 0], [9, 0], [0, 9]])[made] + rng.normal(size=(180, 2))
    known = np.ones(180, bool)
    known[5] = False
    found = clusters(points.astype(np.float32), known, seed=1)
    assert found[5] == -1
    pairs = {(m, f) for m, f, k in zip(made, found, known, strict=True) if k}
    assert len(pairs) == len(set(found[known])) or len(pairs) == 3


def test_words_that_are_everywhere_name_no_group() -> None:
    texts = ["Find the angle of the triangle", "Find the angle", "Find the prime", "Find a prime"]
    first, second = telling_words(texts, np.array([0, 0, 1, 1], np.int32))
    assert first.startswith("angle")
    assert second.startswith("prime")
    same = telling_words(["12 + 3", "4 + 5"], np.array([0, 1], np.int32))
    assert len(set(same)) == 2


def test_umap_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(LearnAlignError, match="pip install"):
        umap(np.zeros((9, 3), np.float32))


@pytest.mark.slow
def test_umap_keeps_groups_together_and_repeats_itself() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    rng = np.random.default_rng(5)
    rows = np.repeat(rng.normal(size=(2, 20)) * 9, 40, axis=0) + rng.normal(size=(80, 20))
    one, other = (umap(rows.astype(np.float32), seed=7) for _ in range(2))
    assert (one == other).all()
    middle = one[:40].mean(axis=0), one[40:].mean(axis=0)
    spread = max(one[:40].std(), one[40:].std())
    assert np.linalg.norm(middle[0] - middle[1]) > 2 * spread
