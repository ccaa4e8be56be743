"""The cache of fixed shapes against transformers' own that grows, and its attention by hand."""

import pytest
import torch
from transformers import DynamicCache

from helpers.tiny_models import tiny_model
from learnalign.rollouts.fixed_attention import attend
from learnalign.rollouts.fixed_cache import FixedStore, is_plain


def states(rows, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(rows, 2, tokens, 4, generator=generator)
    return keys, torch.randn(rows, 2, tokens, 6, generator=generator)


def test_equals_the_cache_that_grows():
    growing = DynamicCache()
    for layer in range(2):
        growing.update(*states(3, 5, layer), layer)
    store = FixedStore(growing, 12 * 32)
    for buffers in store._buffers:  # what an earlier batch left
        for buffer in buffers:
            buffer.flat.fill_(float("nan"))
    index, place = torch.tensor([0, 0, 2, 1, 1, 1]), torch.tensor([5])
    store.fill(growing, index, 8)
    growing.batch_select_indices(index)
    rows, length = 6, 8
    cache = store.cache(rows, length, place)
    for number in range(12):
        if number == 3:
            kept = torch.tensor([5, 0, 3, 2])
            store.move((rows, length), 24, kept, 8)
            growing.batch_select_indices(kept)
            rows, length = 4, 24
        if number == 7:
            kept = torch.tensor([1, 2])
            store.move((rows, length), 24, kept, 12)
            growing.batch_select_indices(kept)
            rows = 2
        if number in (3, 7):
            cache = store.cache(rows, length, place)
        for layer in range(2):
            new = states(rows, 1, 100 + 2 * number + layer)
            expected = growing.update(*new, layer)
            found = cache.update(*new, layer)
            for a, b in zip(found, expected, strict=True):
                assert a.shape[:3] == (rows, 2, length)
                assert torch.equal(a[:, :, : b.shape[2]], b)
                assert not a[:, :, b.shape[2] :].any()  # zeros: nothing that could be NaN
        place += 1
        assert int(cache.get_seq_length()) == growing.get_seq_length()


def test_addresses_stay():
    growing = DynamicCache()
    growing.update(*states(2, 5, 0), 0)
    store, place = FixedStore(growing, 64), torch.tensor([5])
    store.fill(growing, torch.tensor([0, 1]), 8)
    cache = store.cache(2, 8, place)
    pointers = [cache.layers[0].keys.data_ptr(), cache.layers[0].values.data_ptr()]
    cache.update(*states(2, 1, 1), 0)
    store.move((2, 8), 16, torch.tensor([1]), 6)
    again = store.cache(1, 16, place).layers[0]
    assert [again.keys.data_ptr(), again.values.data_ptr()] == pointers


@pytest.mark.parametrize("name", ["llama", "sliding"])
def test_which_caches_are_plain(name):
    cache = tiny_model(name, torch.float32)(torch.tensor([[3, 4, 5]]), use_cache=True)
    assert is_plain(cache.past_key_values) == (name == "llama")


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_attention_by_hand(heads, groups):
    torch.manual_seed(heads)
    query = torch.randn(3, heads, 1, 4, dtype=torch.float64)
    key = torch.randn(3, groups, 7, 4, dtype=torch.float64)
    value = torch.randn(3, groups, 7, 5, dtype=torch.float64)
    hidden = torch.rand(3, 7) < 0.4
    hidden[:, 2] = False
    mask = torch.zeros(3, 7, dtype=torch.float64).masked_fill(hidden, float("-inf"))
    found, _ = attend(torch.nn.Identity(), query, key, value, mask[:, None, None], scaling=0.3)
    assert found.shape == (3, 1, heads, 5)
    for row in range(3):
        places = [t for t in range(7) if not hidden[row, t]]
        for head in range(heads):
            group = head * groups // heads
            scores = [0.3 * float(query[row, head, 0] @ key[row, group, t]) for t in places]
            weights = torch.tensor(scores, dtype=torch.float64).softmax(0)
            expected = sum(w * value[row, group, t] for w, t in zip(weights, places, strict=True))
            torch.testing.assert_close(found[row, 0, head], expected)


@pytest.mark.parametrize("asked", ["softcap", "s_aux", "position_bias", "sliding_window"])
def test_attention_that_is_not_plain_is_refused(asked):
    one = torch.ones(1, 1, 1, 4)
    with pytest.raises(NotImplementedError, match=asked):
        attend(torch.nn.Identity(), one, one, one, torch.zeros(1, 1, 1, 1), **{asked: 1})
    with pytest.raises(NotImplementedError, match="no mask"):
        attend(torch.nn.Identity(), one, one, one, None)
