"""Write ``audit.html``: a self-contained page of problems to look at, without scripts.

Questions, golds and completions are untrusted text: the template escapes everything.
"""

from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from learnalign.reporting.formatting import figure
from learnalign.storage import files

#: Findings of a kind that the page shows.
SHOWN = 50


def write_page(path: Path, title: str, summary: dict[str, Any], findings: pa.Table) -> None:
    """Write the page atomically.

    Args:
        path: The file to write.
        title: Heading of the page.
        summary: What ``audit.json`` contains (`learnalign.workflows.audit.Audit.summary`).
        findings: FINDINGS; the first 50 of each kind are shown.

    Raises:
        LearnAlignError: if the file cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = figure
    package = package_files(__package__)
    template = package.joinpath("audit.html.j2").read_text(encoding="utf-8")
    css = Markup(package.joinpath("report.css").read_text(encoding="utf-8"))
    first = findings.filter(pc.less_equal(findings["rank"], SHOWN)).to_pylist()
    shown = {
        kind["name"]: [row for row in first if row["kind"] == kind["name"]]
        for kind in summary["kinds"]
    }
    page = environment.from_string(template).render(title=title, css=css, shown=shown, **summary)
    files.write_text(path, page)
