"""A batch's responses on the host while they are sampled: which have ended, where, and why."""

import numpy as np
from numpy.typing import NDArray

from learnalign.rollouts.stops import StopStrings


class Growing:
    """The responses of a batch, to which sampled tokens are added.

    Args:
        limits: (N,) longest allowed lengths; at least 1.
        max_tokens: T, the longest of all.
        end_ids: Tokens that end a response.
        stops: Stop strings.
    """

    def __init__(
        self,
        limits: NDArray[np.int64],
        max_tokens: int,
        end_ids: NDArray[np.int64],
        stops: StopStrings,
    ) -> None:
        count = len(limits)
        self.end_ids, self.stops, self.num_tokens = end_ids, stops, 0
        self.tokens = np.zeros((count, max_tokens), np.int64)
        self.logprobs = np.zeros((count, max_tokens), np.float32)
        self.lengths = limits.copy()
        self.ended = np.zeros(count, bool)
        self.done = np.zeros(count, bool)

    def add(
        self, rows: NDArray[np.int64], tokens: NDArray[np.int64], logprobs: NDArray[np.float32]
    ) -> None:
        """Add the next tokens; what follows a response's end is ignored.

        Args:
            rows: (B,) all unfinished rows; finished ones among them get nothing.
            tokens: (B, count) their next tokens.
            logprobs: (B, count) log-probabilities; a NaN finishes the row, without ending it.
        """
        begin, end = self.num_tokens, self.num_tokens + tokens.shape[1]
        self.num_tokens = end
        going = ~self.done[rows]
        rows, tokens, logprobs = rows[going], tokens[going], logprobs[going]
        self.tokens[rows, begin:end], self.logprobs[rows, begin:end] = tokens, logprobs
        # Where each response would first stop, reach its limit, or become NaN; `end` if not here.
        stop = np.minimum(
            _first(np.isin(tokens, self.end_ids), begin),
            self.stops.first(self.tokens[rows, :end], begin),
        )
        limit = self.lengths[rows] - 1
        broken = _first(np.isnan(logprobs), begin)
        ended = (stop < end) & (stop <= np.minimum(limit, broken))
        self.lengths[rows[ended]] = stop[ended] + 1
        self.ended[rows[ended]] = True
        self.done[rows[ended | (limit < end) | (broken < end)]] = True


def _first(true: NDArray[np.bool_], begin: int) -> NDArray[np.int64]:
    """Return where each row (B, count) is first true, plus ``begin``; the end if nowhere."""
    places: NDArray[np.int64] = np.where(true.any(1), true.argmax(1), true.shape[1]) + begin
    return places
