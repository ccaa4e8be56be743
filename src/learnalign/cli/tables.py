"""Tables and lines for the terminal; control characters and markup in data are not interpreted."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from learnalign.terminal.control_characters import visible


def plain_console() -> Console:
    """Return a console that does not interpret markup or emoji codes, or highlight numbers."""
    return Console(highlight=False, markup=False, emoji=False)


def bold(text: str) -> Text:
    """Return bold text; the text itself is printed unchanged."""
    return Text(text, "bold")


def print_parts(console: Console, *parts: str | Text, wrap: bool = True) -> None:
    """Print parts in sequence; strings may quote data and paths."""
    shown = (part if isinstance(part, Text) else Text(visible(part)) for part in parts)
    console.print(Text.assemble(*shown), soft_wrap=not wrap)


def add_row(table: Table, *cells: str) -> None:
    """Add a row; each cell is one line and may quote data."""
    table.add_row(*(Text(visible(cell, multiline=False)) for cell in cells))


def beginning(text: str, width: int) -> str:
    r"""Return the beginning of a text as one line of at most ``width`` characters.

    Example:
        >>> beginning("one\ntwo", 9), beginning("one two three", 9)
        ('one\\ntwo', 'one two …')
    """
    shown = visible(text[: width + 1], multiline=False)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def end(text: str, width: int) -> str:
    r"""Return the end of a text as one line of at most ``width`` characters.

    Example:
        >>> end("one two three", 9), end("\n7", 9)
        ('…wo three', '\\n7')
    """
    shown = visible(text[-width - 1 :], multiline=False)
    return shown if len(shown) <= width else f"…{shown[1 - width :]}"
