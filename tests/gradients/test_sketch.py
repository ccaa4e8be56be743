"""The sketch against its explicit matrix: linear, unbiased, its scale independent of shapes."""

import pytest
import torch

from learnalign.gradients.sketch import Sketch


def explicit_matrix(sketch: Sketch, num_values: int) -> torch.Tensor:
    """Build the (num_values, size) matrix value by value, from the definition in words."""
    matrix = torch.zeros(num_values, sketch.size, dtype=torch.float64)
    for place in range(num_values):
        chunk, column = divmod(place, sketch.width)
        sign = sketch.chunk_signs[chunk] * sketch.source_signs[sketch.offsets[chunk] + column]
        target = (column + sketch.shifts[chunk]) % sketch.width
        matrix[place, sketch.buckets[target]] += sign * sketch.signs[target]
    return matrix


@pytest.mark.parametrize(("num_values", "width"), [(1, 8), (8, 8), (37, 8), (40, 7), (5, 100)])
def test_is_the_matrix_product(num_values, width):
    sketch = Sketch(num_values, 6, seed=3, dtype=torch.float64, width=width)
    vector = torch.randn(num_values, dtype=torch.float64)
    expected = vector @ explicit_matrix(sketch, num_values)
    pieces = vector.split([num_values // 3, num_values - num_values // 3])
    torch.testing.assert_close(sketch(pieces), expected, rtol=1e-12, atol=1e-12)


def test_inner_products_are_unbiased_and_spread_as_theory_says():
    torch.manual_seed(0)
    x, y = torch.randn(2, 300, dtype=torch.float64)
    estimates = torch.tensor(
        [
            float(s([x]) @ s([y]))
            for s in (Sketch(300, 32, seed=i, dtype=torch.float64, width=64) for i in range(4000))
        ]
    )
    theory = (((x @ x) * (y @ y) + (x @ y) ** 2) / 32) ** 0.5
    assert float((estimates.mean() - x @ y).abs()) < 4 * float(theory) / 4000**0.5
    assert 0.7 < float(estimates.std() / theory) < 1.3


@pytest.mark.parametrize("shape", [(64, 64), (4096, 1), (2, 2048), (16, 16, 16)])
def test_scale_does_not_depend_on_a_layers_shape(shape):
    torch.manual_seed(1)
    values = torch.randn(shape, dtype=torch.float64)
    other = torch.zeros(500, dtype=torch.float64)
    ratios = [
        float(s([other[:250], values, other[250:]]).square().sum() / values.square().sum())
        for s in (
            Sketch(values.numel() + 500, 64, seed=i, dtype=torch.float64, width=1024)
            for i in range(300)
        )
    ]
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.05)


def test_same_seed_same_sketch_other_seed_another():
    x = torch.randn(100)
    assert torch.equal(Sketch(100, 16, seed=5)([x]), Sketch(100, 16, seed=5)([x]))
    assert not torch.equal(Sketch(100, 16, seed=5)([x]), Sketch(100, 16, seed=6)([x]))


def test_wrong_number_of_values_is_an_error():
    with pytest.raises(AssertionError, match="3 values for a sketch of 4"):
        Sketch(4, 2, seed=0)([torch.ones(3)])
