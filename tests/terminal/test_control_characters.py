"""Control characters: none gets through, nothing else is touched."""

import sys
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from helpers.terminal import acts_on_a_terminal
from learnalign.errors import LearnAlignError
from learnalign.terminal.control_characters import visible

EVERY = [chr(code) for code in range(sys.maxunicode + 1)]


def test_every_character_that_acts_is_shown_and_every_other_stays() -> None:
    for multiline in (True, False):
        kept = {c for c in EVERY if visible(c, multiline=multiline) == c}
        acting = {c for c in EVERY if acts_on_a_terminal(c)}
        assert set(EVERY) - kept == acting - (set("\n\t") if multiline else set())


def test_what_is_shown_names_the_character() -> None:
    for c in filter(acts_on_a_terminal, EVERY):
        told = visible(c, multiline=False)
        assert told.isascii()
        assert told.isprintable()
        assert told.encode("ascii").decode("unicode_escape") == c


def test_scripts_and_emoji_are_left_alone() -> None:
    # Joiners and variation selectors are part of how Persian, Hindi and emoji are written.
    for text in ("می‌خواهم", "क्‍ष", "👩‍👩‍👧", "❤️", "Ωμέγα  x²", "café\u0301", "\u00a0", "\ufeff"):
        assert visible(text) == text


@given(st.text(st.characters(codec=None)))
def test_twice_is_once_and_one_line_is_one_line(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert len(visible(text, multiline=False).splitlines()) <= 1
    visible(text).encode()  # no surrogate is left


def test_an_errors_text_is_safe_and_its_parts_are_as_given() -> None:
    error = LearnAlignError("got \x1b[8m", expected="a\u202e", do="see\x9b1m\nbelow")
    lines = ["got \\x1b[8m", "  expected: a\\u202e", "  to do: see\\x9b1m", "below"]
    assert str(error).split("\n") == lines
    assert (error.got, error.expected) == ("got \x1b[8m", "a\u202e")


def test_what_is_no_text_is_shown_as_text() -> None:
    assert visible(Path("/x\x1b")) == "/x\\x1b"
    assert visible(None) == "None"
    assert unicodedata.category(visible("\x00")[0]) == "Po"
