"""What is kept of sampled tokens, against following each response token by token."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign.rollouts.growing import Growing
from learnalign.rollouts.stops import StopStrings

LETTERS = "abcdxyz"


class Letters:
    """A token is a letter."""

    def batch_decode(self, rows, skip_special_tokens):
        return ["".join(LETTERS[i] for i in row) for row in rows]


def follow(tokens, logprobs, limit, end_ids, stops):
    """Return length, whether it ended, and whether it is done, one token after the other."""
    for place, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True)):
        text = "".join(LETTERS[i] for i in tokens[: place + 1])
        if token in end_ids or any(stop in text for stop in stops):
            return place + 1, True, True
        if place + 1 >= limit or np.isnan(logprob):
            return limit, False, True
    return limit, False, False


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_as_token_by_token(seed, looks):
    rng = np.random.default_rng(seed)
    count, total = 6, sum(looks)
    tokens = rng.integers(0, len(LETTERS), (count, total))
    logprobs = -rng.random((count, total)).astype(np.float32)
    logprobs[rng.random((count, total)) < 0.03] = np.nan
    limits = rng.integers(1, total + 1, count)
    end_ids, stops = np.array([6]), ("ab", "ca", "d")
    growing = Growing(limits, total, end_ids, StopStrings(Letters(), stops))
    rows, begin = np.arange(count), 0
    for number in looks:
        part = slice(begin, begin + number)
        growing.add(rows, tokens[rows, part], logprobs[rows, part])
        begin += number
        if rng.random() < 0.5:  # finished rows leave at some time, in any order
            rows = rng.permutation(rows[~growing.done[rows]])
    for row in range(count):
        length, ended, done = follow(tokens[row], logprobs[row], limits[row], end_ids, stops)
        assert (growing.lengths[row], growing.ended[row], growing.done[row]) == (
            length,
            ended,
            done,
        )
        if not np.isnan(logprobs[row, :length]).any():
            np.testing.assert_array_equal(growing.tokens[row, :length], tokens[row, :length])
            np.testing.assert_array_equal(growing.logprobs[row, :length], logprobs[row, :length])
        else:
            assert np.isnan(growing.logprobs[row, :length]).any()
