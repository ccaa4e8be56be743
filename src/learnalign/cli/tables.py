"""Tables and lines on the terminal, in which data gives no orders and no markup is read."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from learnalign.terminal.control_characters import visible


def plain_console() -> Console:
    """Make a console that reads no markup, no emoji codes and no numbers into what it prints."""
    return Console(highlight=False, markup=False, emoji=False)


def bold(text: str) -> Text:
    """Set text in bold; it is printed as it is."""
    return Text(text, "bold")


def print_parts(console: Console, *parts: str | Text, wrap: bool = True) -> None:
    """Print parts one after the other; strings may quote data and paths."""
    shown = (part if isinstance(part, Text) else Text(visible(part)) for part in parts)
    console.print(Text.assemble(*shown), soft_wrap=not wrap)


def add_row(table: Table, *cells: str) -> None:
    """Add a row; what stands in a cell is one line, and may be data."""
    table.add_row(*(Text(visible(cell, multiline=False)) for cell in cells))


def beginning(text: str, width: int) -> str:
    r"""Cut text to one line of a width, from its beginning.

    Example:
        >>> beginning("one\ntwo", 9), beginning("one two three", 9)
        ('one\\ntwo', 'one two …')
    """
    shown = visible(text[: width + 1], multiline=False)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def end(text: str, width: int) -> str:
    r"""Cut text to one line of a width, at its end.

    Example:
        >>> end("one two three", 9), end("\n7", 9)
        ('…wo three', '\\n7')
    """
    shown = visible(text[-width - 1 :], multiline=False)
    return shown if len(shown) <= width else f"…{shown[1 - width :]}"
