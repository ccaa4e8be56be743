"""Where a response first contains a stop string, against decoding it after every token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learnalign.config import ModelConfig
from learnalign.models.loading import load_tokenizer
from learnalign.rollouts.stops import StopStrings


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return load_tokenizer(ModelConfig(path=str(smollm2), device="cpu"))


class ByteFallback:
    """Decodes bytes as Llama 2 does: a run that is not valid UTF-8 loses all its characters."""

    def batch_decode(self, rows, skip_special_tokens):
        assert skip_special_tokens
        return [self._text(bytes(row)) for row in rows]

    def _text(self, data):
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(data)


def plainly(tokenizer, stops, row, begin):
    """Decode all tokens up to each place."""
    for place in range(begin, len(row)):
        text = tokenizer.batch_decode([row[: place + 1]], skip_special_tokens=True)[0]
        if any(stop in text for stop in stops):
            return place
    return len(row)


@pytest.mark.parametrize("stops", [("\n",), ("and", ". I"), ("\n\n", "Übung"), ("🙂",)])
def test_first_place_in_real_text(tokenizer, stops):
    texts = (
        "One and two.\nThree.",
        ". I saw it. It was so. In all.",
        "Die Übung\n\nist 🙂 lang",
        "nothing of all this",
        "🙃🙂",
        "land\n",
    )
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width = max(map(len, rows))
    end = tokenizer.eos_token_id
    tokens = np.array([row + [end] * (width - len(row)) for row in rows])
    subject = StopStrings(tokenizer, stops)
    expected = [plainly(tokenizer, stops, row, 0) for row in tokens.tolist()]
    assert subject.first(tokens, 0).tolist() == expected
    assert set(expected) != {width}
    for begin in (1, width // 2, width - 1):  # what came before has been searched, and is clean
        clean = [i for i, place in enumerate(expected) if place >= begin]
        found = subject.first(tokens[clean], begin)
        assert found.tolist() == [expected[i] for i in clean]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(list(b"a\n" + "é🙂".encode())), min_size=1, max_size=12))
def test_a_text_that_more_tokens_take_back(data):
    """The line break is found when it is there, even if the next token makes it unreadable."""
    subject = StopStrings(ByteFallback(), ("\n",))
    row = np.array([data])
    texts = ByteFallback().batch_decode(
        [data[max(0, n + 1 - subject.window) : n + 1] for n in range(len(data))], True
    )
    expected = next((n for n, text in enumerate(texts) if "\n" in text), len(data))
    assert subject.first(row, 0).tolist() == [expected]


def test_byte_level_text_is_looked_at_once_a_row(tokenizer, monkeypatch):
    subject = StopStrings(tokenizer, ("zebra",))
    calls = []
    monkeypatch.setattr(subject, "in_texts", lambda rows: calls.append(rows) or [False] * len(rows))
    assert subject.first(np.full((5, 8), 300), 0).tolist() == [8] * 5
    assert len(calls) == 1


def test_no_stop_strings():
    assert StopStrings(None, ()).first(np.zeros((2, 3), int), 0).tolist() == [3, 3]
