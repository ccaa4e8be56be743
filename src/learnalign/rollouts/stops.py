"""Stop strings in what was sampled so far; one may span several tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class StopStrings:
    """Finds the first token with which a response contains a stop string.

    Args:
        tokenizer: Decodes the tokens.
        stops: The stop strings; may be empty.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.tokenizer, self.stops = tokenizer, tuple(stops)
        # A token is at least one byte: the last tokens that can contain a stop string, and one
        # character of up to four bytes before it.
        self.window = max((len(stop.encode()) for stop in self.stops), default=0) + 4
        self._extends = _text_only_grows(tokenizer) and "\ufffd" not in "".join(self.stops)

    def in_texts(self, tails: list[list[int]]) -> list[bool]:
        """Say which of these token sequences contain a stop string."""
        texts = self.tokenizer.batch_decode(tails, skip_special_tokens=True)
        return [any(stop in text for stop in self.stops) for text in texts]

    def first(self, tokens: NDArray[np.int64], begin: int) -> NDArray[np.int64]:
        """Return the first place from ``begin`` on whose token completes a stop string.

        Args:
            tokens: (B, T) tokens so far; those before ``begin`` have been searched.
            begin: First place to look at.

        Returns:
            (B,) places; T where there is none.
        """
        end = tokens.shape[1]
        found = np.full(len(tokens), end)
        if not self.stops:
            return found
        rows = np.arange(len(tokens))
        if self._extends:  # one text a row says which rows are worth a closer look
            tails = tokens[:, max(0, begin + 1 - self.window) :].tolist()
            rows = rows[np.array(self.in_texts(tails), dtype=bool)]
        for place in range(begin, end):
            if not len(rows):
                break
            tails = tokens[rows, max(0, place + 1 - self.window) : place + 1].tolist()
            stopped = np.array(self.in_texts(tails), dtype=bool)
            found[rows[stopped]] = place
            rows = rows[~stopped]
        return found


def _text_only_grows(tokenizer: Any) -> bool:
    """Say whether the text of a part of the tokens is always a part of their text.

    Byte-level tokenizers join bytes. Others may replace what they have decoded when more follows:
    byte fallback, cleaned-up spaces.
    """
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    cleans = getattr(tokenizer, "clean_up_tokenization_spaces", False)
    return type(decoder).__name__ == "ByteLevel" and not cleans
