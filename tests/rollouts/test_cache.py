"""The roomy cache against transformers' own, through growth, repetition and selection."""

import pytest
import torch
from transformers import DynamicCache

from helpers.tiny_models import tiny_model
from learnalign.rollouts.cache import PreallocatedLayer, repeat_cache


def _states(batch, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, 2, tokens, 4, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_equals_the_cache_it_stands_for(steps):
    theirs, ours = DynamicCache(), DynamicCache()
    for cache in (theirs, ours):
        for layer in range(2):
            cache.update(*_states(3, 5, layer), layer)
    theirs.batch_repeat_interleave(2)
    repeat_cache(ours, 2)
    assert all(isinstance(layer, PreallocatedLayer) for layer in ours.layers)
    batch = 6
    for step in range(steps):
        for layer in range(2):
            new = _states(batch, 1, 10 * step + layer)
            for a, b in zip(ours.update(*new, layer), theirs.update(*new, layer), strict=True):
                assert torch.equal(a, b)
        if step in (30, 70):
            batch -= 2
            index = torch.tensor([0, 1, 3, 5][:batch])
            ours.batch_select_indices(index)
            theirs.batch_select_indices(index)
    assert ours.get_seq_length() == theirs.get_seq_length() == 5 + steps


def test_several_tokens_at_once_fit():
    layer = PreallocatedLayer(*_states(1, 3, 0))
    keys, values = _states(1, 150, 1)
    found, _ = layer.update(keys, values)
    assert torch.equal(found[:, :, 3:], keys)
    assert found.shape[-2] == 153


def test_layers_of_another_kind_stay_what_they_are():
    model = tiny_model("sliding", torch.float32)
    with torch.no_grad():
        cache = model(torch.tensor([[3, 4, 5]]), use_cache=True).past_key_values
    kinds = [type(layer) for layer in cache.layers]
    repeat_cache(cache, 2)
    sliding = [layer for layer in cache.layers if layer.is_sliding]
    assert sliding
    assert all(type(layer) in kinds for layer in sliding)
    assert all(layer.keys.shape[0] == 2 for layer in cache.layers)
