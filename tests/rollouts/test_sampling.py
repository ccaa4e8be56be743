"""The two-level sample_tokens against the plain cumulative sum and the softmax it stands for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from learnalign.rollouts.sampling import sample_tokens, uniforms


@pytest.mark.parametrize("top_p", [1.0, 0.6])
@pytest.mark.parametrize("size", [12, 256, 700])
def test_frequencies_are_the_softmax(size, top_p):
    torch.manual_seed(size)
    logits = torch.randn(size) * 1.5
    probabilities = (logits.double() / 0.8).softmax(-1).numpy()
    if top_p < 1:
        order = np.argsort(-probabilities)
        count = int(np.searchsorted(np.cumsum(probabilities[order]), top_p)) + 1
        kept = np.zeros(size, bool)
        kept[order[:count]] = True
        probabilities = np.where(kept, probabilities, 0) / probabilities[kept].sum()
    rng = torch.Generator().manual_seed(1)
    uniform = torch.rand(40_000, generator=rng, dtype=torch.float64)
    tokens, _ = sample_tokens(
        logits.expand(len(uniform), -1), uniform, temperature=0.8, top_p=top_p
    )
    counts = np.bincount(tokens.numpy(), minlength=size)
    assert not counts[probabilities == 0].any()
    common = probabilities * len(uniform) >= 5
    observed, expected = counts[common], probabilities[common] * len(uniform)
    expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 600), st.integers(0, 100))
def test_token_is_where_the_cumulative_sum_passes_the_number(u, size, seed):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(seed))
    token, logprob = sample_tokens(logits, torch.tensor([u], dtype=torch.float64), temperature=1.3)
    weights = torch.log_softmax(logits / 1.3, -1).exp().double()[0]
    cumulative = weights.cumsum(0)
    goal = u * float(cumulative[-1])
    before = float(cumulative[token] - weights[token])
    assert before - 1e-9 <= goal <= float(cumulative[token]) + 1e-9
    assert float(logprob) == pytest.approx(float(weights[token].log()), abs=1e-5)


def test_a_number_near_one_stays_inside_the_vocabulary():
    tokens, _ = sample_tokens(
        torch.zeros(1, 300), torch.tensor([1 - 1e-16]).double(), temperature=1.0
    )
    assert 0 <= int(tokens) < 300


def test_nan_is_reported_in_the_logprob():
    logits = torch.tensor([[0.0, float("nan")], [0.0, 0.0]])
    _, logprobs = sample_tokens(logits, torch.tensor([0.5, 0.5]).double(), temperature=1.0)
    assert logprobs.isnan().tolist() == [True, False]


def test_streams_are_apart():
    streams = {
        tuple(uniforms(seed, name, g, 4))
        for seed in (0, 1)
        for name in ("a", "b")
        for g in range(4)
    }
    assert len(streams) == 16
