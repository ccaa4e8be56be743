"""What a terminal would obey, told by Unicode's own data."""

import unicodedata

#: Of every character that moves the text after or around it; the database has no property for it.
_TURNS = {"ARABIC LETTER MARK", "LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK"}
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def acts_on_a_terminal(character: str) -> bool:
    """Whether it is a control, a line's or paragraph's end, half a character, or turns text."""
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in _TURNING
        or unicodedata.name(character, "") in _TURNS
    )


def obeyed(text: str) -> list[str]:
    """Give the characters in printed text that a terminal would obey; lines and tabs are meant."""
    return [c for c in text if acts_on_a_terminal(c) and c not in "\n\t"]
