"""Print to the terminal; text from data, models, servers and paths is escaped first."""

import io
import json
import traceback
from typing import Any

import click

from learnalign.terminal.control_characters import visible


def echo(text: object, *, err: bool = False) -> None:
    """Print text with its control characters escaped.

    Args:
        text: One or more lines.
        err: Whether to print to stderr.
    """
    click.echo(visible(text), err=err)


def echo_json(content: Any) -> None:
    r"""Print a tree as ASCII JSON; parsing it restores the original text.

    Values that JSON does not support (paths, dates) become strings; NaN and Inf become null.

    Example:
        >>> echo_json({"id": "é\x9b\u202e", "rate": float("nan")})
        {"id": "\u00e9\u009b\u202e", "rate": null}
    """
    # Dumped twice: first to turn unsupported values into strings, then to turn NaN into null.
    text = json.dumps(content, default=str)
    click.echo(json.dumps(json.loads(text, parse_constant=lambda name: None)))


def echo_usage_error(error: click.ClickException) -> None:
    """Print click's usage error, which may quote the command line."""
    message = io.StringIO()
    error.show(message)
    echo(message.getvalue().rstrip("\n"), err=True)


def echo_unexpected_error(error: BaseException) -> None:
    """Print a traceback; the error may quote data."""
    echo("".join(traceback.format_exception(error)).rstrip(), err=True)
