"""Write ``report.html``: a self-contained page about a run.

Completions are untrusted text: the template escapes everything, figures are read from escaped JSON,
and the page's content security policy allows only the two scripts whose hashes it lists.
"""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
import pyarrow as pa
import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from learnalign.reporting import figures, formatting, stats
from learnalign.reporting.examples import examples, shown_ids
from learnalign.storage import files
from learnalign.terminal.commands import command_line
from learnalign.terminal.durations import duration

MAX_EXCLUDED = 500


@dataclass(frozen=True)
class ReportData:
    """The data of a report.

    ``problems`` and ``rollouts`` need only contain the problems that
    `learnalign.reporting.examples.shown_ids` returns.
    """

    title: str
    config: dict[str, Any]
    """The resolved configuration, ``Config.model_dump(mode="json")``."""
    manifest: dict[str, Any]
    """The run folder's manifest, ``Manifest.model_dump()``."""
    problems: pa.Table
    rollouts: pa.Table
    verdicts: pa.Table
    scores: pa.Table
    excluded: pa.Table
    summary: dict[str, Any]
    """The selection's summary. Keys used: ``warnings`` (a list of texts), ``stability`` (None, or a
    dict with ``expected_overlap`` from 0 to 1 and optionally ``definition``), ``verifiers``
    (problems judged, by verifier) and ``dropped`` (problems left out, by kind of finding)."""
    audit: dict[str, int] | None = None
    """The number of findings of each kind; None if the run has not been audited."""
    explored: Literal["", "explore.html", "outdated"] = ""
    """The page of `learnalign explore` beside the report; ``outdated`` if it shows an earlier
    ranking, empty without one."""
    command: str = ""
    """The command that reproduces the run; empty for the one that replays its ``config.yaml``."""


def write_report(data: ReportData, path: Path) -> None:
    """Write the report atomically.

    Args:
        data: The data of the report.
        path: The file to write, ``report.html`` in the run folder. About 5 MB, nearly all of it
            plotly.js; up to 3 MB more for large pools.

    Raises:
        LearnAlignError: if the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> from learnalign import tables
        >>> from learnalign.config import Config
        >>> path = Path(mkdtemp()) / "report.html"
        >>> write_report(
        ...     ReportData(
        ...         title="An empty run",
        ...         config=Config().model_dump(mode="json"),
        ...         manifest={"stages": {}},
        ...         problems=tables.PROBLEMS.empty_table(),
        ...         rollouts=tables.ROLLOUTS.empty_table(),
        ...         verdicts=tables.VERDICTS.empty_table(),
        ...         scores=tables.SCORES.empty_table(),
        ...         excluded=tables.EXCLUDED.empty_table(),
        ...         summary={},
        ...     ),
        ...     path,
        ... )
        >>> "No problems were ranked." in path.read_text(encoding="utf-8")
        True
    """
    files.write_text(path, render(data))


def render(data: ReportData) -> str:
    """Render the page as text."""
    plotly_js, report_js = get_plotlyjs(), _part("report.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": formatting.percent,
        "figure": formatting.figure,
        "duration": duration,
        "size": formatting.size,
    }
    return environment.from_string(_part("report.html.j2")).render(
        **_numbers(data),
        **_examples(data),
        **_figures(data),
        title=data.title,
        config=yaml.safe_dump(data.config, sort_keys=False, allow_unicode=True),
        command=data.command or _command(data.config),
        explored=data.explored,
        explore=command_line("explore", data.config["run"]["out"]),
        version=data.manifest.get("learnalign", ""),
        css=Markup(_part("report.css")),
        plotly_js=Markup(plotly_js),
        report_js=Markup(report_js),
        script_hashes=Markup(f"{script_hash(plotly_js)} {script_hash(report_js)}"),
    )


def _numbers(data: ReportData) -> dict[str, Any]:
    scores, costs = data.scores, stats.stage_costs(data.manifest)
    total = stats.total_cost(costs)
    length, signal = stats.numbers(scores, "mean_response_tokens"), _signal(scores)
    stability = data.summary.get("stability") or {}
    return {
        "headline": formatting.headline(data.config, scores),
        "tiles": formatting.tiles(scores, data.summary, total),
        "warnings": data.summary.get("warnings", []),
        "rho_norm": stats.spearman(length[signal], stats.numbers(scores, "gradient_norm")[signal]),
        "rho_score": stats.spearman(length[signal], stats.numbers(scores, "score")[signal]),
        "stability": (
            {"definition": "", **stability} if stability.get("expected_overlap") is not None else {}
        ),
        "verdicts": stats.verdict_counts(data.verdicts),
        "verifiers": stats.verifier_counts(data.summary),
        "is_auto": data.config["verifier"]["kind"] == "auto",
        "truncated": stats.truncated(scores),
        "max_tokens": data.config["rollouts"]["max_tokens"],
        "excluded_counts": stats.excluded_counts(data.excluded),
        "excluded": data.excluded.slice(0, MAX_EXCLUDED).to_pylist(),
        "num_excluded": data.excluded.num_rows,
        "audit": stats.finding_counts(data.audit),
        "dropped": data.summary.get("dropped", {}),
        "costs": costs,
        "total": total,
    }


def _examples(data: ReportData) -> dict[str, Any]:
    tables = {
        "problems": data.problems,
        "rollouts": data.rollouts,
        "verdicts": data.verdicts,
        "scores": data.scores,
    }
    first, last = shown_ids(data.scores)
    return {"first": examples(first, **tables), "last": examples(last, **tables)}


def _figures(data: ReportData) -> dict[str, Any]:
    scores, seed = data.scores, data.config["run"]["seed"]
    plane = figures.learnability_alignment(scores, seed=seed)
    has_threshold = False
    if plane is not None and data.config["selection"]["method"] == "learnalign":
        has_threshold = figures.add_threshold(plane, scores)
    all_figures = {
        "success-rates": figures.success_rates(scores),
        "learnability-alignment": plane,
        "length-norm": figures.length_norm(scores, seed=seed),
        "length-score": figures.length_score(scores, seed=seed),
        "sources": figures.shares(stats.strata(scores, "source")),
        "difficulties": figures.shares(stats.strata(scores, "difficulty")),
        "stability-by-rank": figures.stability(scores, seed=seed),
    }
    return {
        "has_threshold": has_threshold,
        "figures": {name: figure and _json(figure) for name, figure in all_figures.items()},
    }


def _signal(scores: pa.Table) -> Any:
    return stats.numbers(scores, "learnability") > 0


def _command(config: dict[str, Any]) -> str:
    out = str(config["run"]["out"]).rstrip("/")
    return command_line("select", "--config", f"{out}/config.yaml", "--out", f"{out}-again")


def _json(figure: go.Figure) -> Markup:
    """Serialize a figure as JSON that is safe inside a script element."""
    text = figure.to_json()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _part(name: str) -> str:
    return package_files(__package__).joinpath(name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """Return a script's hash source for a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
