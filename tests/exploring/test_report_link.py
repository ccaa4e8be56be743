"""The report links to the page beside it, while that shows the report's ranking."""

from pathlib import Path

import pyarrow as pa
import pytest

from helpers.html_page import HtmlPage
from helpers.run_folder import write_run
from helpers.synthetic_run import synthetic_run
from learnalign.config.load import load_config
from learnalign.runs.folder import RunFolder
from learnalign.terminal.progress import Progress
from learnalign.workflows.explore import explore
from learnalign.workflows.select import report

QUIET = Progress("none")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", synthetic_run(num_problems=24, budget=6))


def reported(run: Path) -> tuple[list[str], str]:
    """The report's links, and its text."""
    text = (run / "report.html").read_text()
    links = [one["href"] for tag, one in HtmlPage(text).elements if tag == "a" and "href" in one]
    return links, text


def write_report(run: Path) -> None:
    report(RunFolder(run), load_config(run / "config.yaml", overrides={"run.out": str(run)}))


def test_without_a_page_it_tells_the_command(run: Path) -> None:
    write_report(run)
    links, text = reported(run)
    assert links == []
    assert f"learnalign explore {run}</span>" in text


def test_a_page_beside_it_is_linked_at_once(run: Path) -> None:
    write_report(run)
    done = explore([run], progress=QUIET)
    links, _ = reported(run)
    assert [(run / link).resolve() for link in links] == [done.path]


def test_a_page_of_an_earlier_ranking_is_not(run: Path) -> None:
    explore([run], progress=QUIET)
    folder = RunFolder(run)
    with folder.locked():
        scores = folder.scores()
        place = scores.schema.get_field_index("selected")
        nobody = pa.array([False] * len(scores))
        folder.write_table("scores.parquet", scores.set_column(place, "selected", nobody))
    write_report(run)
    links, text = reported(run)
    assert links == []
    assert "explore.html shows an earlier ranking" in text


def test_a_page_elsewhere_or_a_file_of_that_name_is_not(run: Path, tmp_path: Path) -> None:
    write_report(run)
    explore([run], out=tmp_path / "mine.html", progress=QUIET)
    assert reported(run)[0] == []
    (run / "explore.html").write_bytes(b"\xff\xfe<p>mine")
    write_report(run)
    assert reported(run)[0] == []
