"""Write ``profile.html``: a self-contained page about a profile, without scripts.

Names of sources and problems are untrusted text: the template escapes everything.
"""

from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from learnalign.reporting.formatting import figure, percent
from learnalign.storage import files
from learnalign.terminal.durations import duration


def write_page(path: Path, title: str, summary: dict[str, Any]) -> None:
    """Write the page atomically.

    Args:
        path: The file to write.
        title: Heading of the page.
        summary: What ``profile.json`` contains (`learnalign.workflows.profile.Profile.summary`).

    Raises:
        LearnAlignError: if the file cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "figure": figure,
        "hours": hours,
        "share": share,
        "count": lambda number: f"{number:+,}",
        "price": price,
        "points": points,
    }
    package = package_files(__package__)
    template = package.joinpath("profile.html.j2").read_text(encoding="utf-8")
    css = Markup(package.joinpath("report.css").read_text(encoding="utf-8"))
    page = environment.from_string(template).render(title=title, css=css, **summary)
    files.write_text(path, page)


def share(found: dict[str, Any]) -> str:
    """Format a share with its interval, if it has one.

    Example:
        >>> share({"share": 0.34, "low": 0.28, "high": 0.41})
        '34 % (28 % to 41 %)'
        >>> share({"share": 0.02, "low": None, "high": None})
        '2 %'
    """
    text = percent(found["share"])
    if found["low"] is None:
        return text
    return f"{text} ({percent(found['low'])} to {percent(found['high'])})"


def hours(estimate: dict[str, float], *, signed: bool = False) -> str:
    """Format an estimate of hours with its interval as durations.

    Args:
        estimate: ``value``, ``low`` and ``high``, in hours.
        signed: Show the sign, of a difference.

    Example:
        >>> hours({"value": 1.5, "low": 1.25, "high": 2.0})
        '1 h 30 min (1 h 15 min to 2 h)'
        >>> hours({"value": -1.5, "low": -2.0, "high": 0.5}, signed=True)
        '-1 h 30 min (-2 h to +30 min)'
    """

    def one(value: float) -> str:
        sign = ("-" if value < 0 else "+") if signed else ""
        return sign + duration(3600.0 * abs(value))

    return f"{one(estimate['value'])} ({one(estimate['low'])} to {one(estimate['high'])})"


def price(estimate: dict[str, float]) -> str:
    """Format an estimate of a price with its interval.

    Example:
        >>> price({"value": 12.5, "low": 11.0, "high": 1234.5})
        '12.5 (11 to 1,234)'
    """
    return f"{figure(estimate['value'])} ({figure(estimate['low'])} to {figure(estimate['high'])})"


def points(gain: dict[str, float]) -> str:
    """Format a gain of accuracy with its interval, in points.

    Example:
        >>> points({"mean": 0.031, "low": -0.002, "high": 0.0639})
        '+3.1 (-0.2 to +6.4)'
    """
    mean, low, high = (f"{100 * gain[key]:+.1f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
