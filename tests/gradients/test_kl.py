"""The KL term, held against TRL's estimate of the divergence differentiated by autograd."""

import numpy as np
import pytest
import torch

from gradients.test_policy import policy, problems
from helpers.tiny_models import tiny_model
from learnalign.gradients.logprobs import LogProbs
from learnalign.gradients.objective import token_shares
from learnalign.gradients.tasks import KLTerm

BETA, TEMPERATURE = 0.3, 0.9


def slow_logprobs(model, prompt, response):
    """Give (t,) log-probabilities, one sequence, no batch."""
    ids = torch.tensor([[*prompt, *response]])
    logits = model(input_ids=ids, use_cache=False).logits[0] / TEMPERATURE
    places = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
    return logits.log_softmax(-1)[places, ids[0, len(prompt) :]]


@pytest.mark.parametrize("name", ["llama", "sliding", "gpt2"])
@pytest.mark.parametrize("budget", [11, 1000])
def test_logprobs_are_those_of_the_sequences_one_by_one(name, budget):
    some = [(p, [*rs, rs[0], []]) for p, rs, _ in problems()]
    found = LogProbs(tiny_model(name), temperature=TEMPERATURE, token_budget=budget)(some)
    plain = tiny_model(name)
    for (prompt, responses), values in zip(some, found, strict=True):
        assert len(values[-1]) == 0
        for response, value in zip(responses[:-1], values, strict=False):
            truth = slow_logprobs(plain, prompt, response).detach().numpy()
            np.testing.assert_allclose(value, truth, rtol=1e-9)


@pytest.mark.parametrize("name", ["llama", "mixtral", "sliding"])
@pytest.mark.parametrize("budget", [9, 1000])
def test_gradient_with_a_reference_is_that_of_trls_loss(name, budget):
    prompt, responses, weights = problems(seed=4)[0]
    responses, weights = [*responses, responses[1]], [*weights[:-1], 0.0, 0.4]
    reference = tiny_model(name, seed=1)
    (logprobs,) = LogProbs(reference, temperature=TEMPERATURE)([(prompt, responses)])
    shares = BETA * token_shares([len(r) for r in responses], max_tokens=9)
    subject = policy(name, token_budget=budget, input_width=0)
    found = subject.exact(prompt, responses, weights, KLTerm(shares.tolist(), logprobs))

    model = tiny_model(name)
    loss = torch.zeros((), dtype=torch.float64)
    for response, weight, share in zip(responses, weights, shares, strict=True):
        own = slow_logprobs(model, prompt, response)
        gap = slow_logprobs(reference, prompt, response).detach() - own
        loss = loss - weight * own.sum() + share * (gap.exp() - gap - 1.0).sum()
    (-loss).backward()
    parameters = dict(model.named_parameters())
    for key, value in found.items():
        torch.testing.assert_close(value, parameters[key].grad, rtol=1e-7, atol=1e-11)


def test_a_reference_that_is_the_policy_pulls_at_nothing():
    (prompt, responses, weights), *_ = problems()
    (logprobs,) = LogProbs(tiny_model("llama"), temperature=TEMPERATURE)([(prompt, responses)])
    pull = KLTerm([0.5] * len(responses), logprobs)
    plain = policy(input_width=0).exact(prompt, responses, weights)
    pulled = policy(input_width=0).exact(prompt, responses, weights, pull)
    for key, value in plain.items():
        torch.testing.assert_close(pulled[key], value, rtol=1e-9, atol=1e-12)
    (row,) = policy()([(prompt, responses, [0.0] * len(responses), pull)])
    assert row.norm == pytest.approx(0.0, abs=1e-9)
