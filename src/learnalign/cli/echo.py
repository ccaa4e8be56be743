"""Printing to the terminal: text of data, models, servers and paths never reaches it raw."""

import io
import json
import traceback
from typing import Any

import click

from learnalign.terminal.control_characters import visible


def echo(text: object, *, err: bool = False) -> None:
    """Print text, its control characters made visible.

    Args:
        text: One line or several.
        err: Whether it goes to the error stream.
    """
    click.echo(visible(text), err=err)


def echo_json(content: Any) -> None:
    r"""Print a tree as JSON in plain ASCII: its text is whole once it is parsed.

    What JSON has no words for (paths, dates) becomes text, and numbers that are not finite null.

    Example:
        >>> echo_json({"id": "é\x9b\u202e", "rate": float("nan")})
        {"id": "\u00e9\u009b\u202e", "rate": null}
    """
    # Dumped twice: the first turns what is no JSON into text, the second reads NaN as null.
    text = json.dumps(content, default=str)
    click.echo(json.dumps(json.loads(text, parse_constant=lambda name: None)))


def echo_usage_error(error: click.ClickException) -> None:
    """Print what click has to say of a command line, which may quote it."""
    told = io.StringIO()
    error.show(told)
    echo(told.getvalue().rstrip("\n"), err=True)


def echo_unexpected_error(error: BaseException) -> None:
    """Print a traceback; its error may quote data."""
    echo("".join(traceback.format_exception(error)).rstrip(), err=True)
